"""LangChain messages <-> the records that Redis holds."""
