"""What front ends speak.

`ai_sdk`, `ag_ui` and `openai` each have `from_messages` and `to_messages`, for LangChain messages. `ai_sdk.stream` and
`ag_ui.stream` turn what `History.follow` yields into the events that the two front ends read. Nothing here needs another
package.
"""
