"""What front ends speak.

`ai_sdk`, `ag_ui` and `openai` each turn LangChain messages into their own and back, with `from_messages` and
`to_messages`. `ai_sdk.stream` and `ag_ui.stream` turn what `History.follow` yields into the events that the two front
ends read. Nothing here needs another package.
"""
