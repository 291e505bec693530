"""The classes that chatmem replaces, under their own names and signatures, so that one import changes.

A module a package:
    langchain_community   RedisChatMessageHistory, UpstashRedisChatMessageHistory
    langchain_redis       RedisChatMessageHistory
    memorystore           MemorystoreChatMessageHistory
"""
