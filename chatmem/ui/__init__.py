"""What front ends speak: LangChain messages to and from the AI SDK's, AG-UI's and OpenAI's messages, and answers as streams.

`ai_sdk`, `ag_ui` and `openai` each have `from_messages` and `to_messages`. `ai_sdk.stream` and `ag_ui.stream` turn what
`History.follow` yields into the events that the two front ends read. Nothing here needs another package.
"""
