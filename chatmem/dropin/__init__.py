"""Drop-in replacements for other packages' history classes: same names and arguments, so you change one import.

None of them has users: make sure that a session belongs to your caller before you open it.

- `chatmem.dropin.langchain_community`: `RedisChatMessageHistory`, `UpstashRedisChatMessageHistory`
- `chatmem.dropin.langchain_redis`: `RedisChatMessageHistory`
- `chatmem.dropin.memorystore`: `MemorystoreChatMessageHistory`
"""
