"""The offline model of `chatmem chat`."""

from __future__ import annotations

import time

import pytest
from langchain_core import messages as lc

from chatmem.cli.offline import OfflineModel, reply

_NO_NAME = "You have not told me your name yet."
_GREEN = "Your favourite colour is green."


class TestOfflineModel:
    """It recalls what the user said, from the whole history."""

    @pytest.mark.parametrize(
        ("said", "answer"),
        [
            (["Hi, my name is Alice", "What's my name?"], "Your name is Alice."),
            (["I'm Alice", "no, call me Bob", "what is my name"], "Your name is Bob."),
            (["i am Ann Lee.", "who am I?"], "Your name is Ann Lee."),
            (["my name is dave", "what's my name?"], "Your name is dave."),
            (["I'm fine", "I am hungry", "what's my name?"], "You have not told me your name yet."),
            (["I live in New York, sadly", "where do I live?"], "You live in New York."),
            (["My favourite colour is green.", "what is my favourite colour?"], "Your favourite colour is green."),
            (["what's my shoe size?"], "You have not told me what your shoe size is."),
            (["a", "b", "what did I say?"], "You have said 2 things before. The latest: “a”; “b”."),
            (["my name is Eve", "hello"], "Hello, Eve! We have met before."),
            ([], "Say something, and I will remember it."),
            (["I\u2019m Alice", "what\u2019s my name?"], "Your name is Alice."),
            (["my name is Élodie Durand", "do you know my name?"], "Your name is Élodie Durand."),
            (["I'm Óscar", "who am I?"], "Your name is Óscar."),
            (["My name is Alice. Call me Al.", "who am I?"], "Your name is Al."),
            (["My name is Bob. What's my name?"], "Your name is Bob."),
            (["I'm OK", "I AM ANGRY", "call me later", "I'm Alice's friend", "who am I?"], _NO_NAME),
            (["I live in Paris and my dog is Rex", "where do I live?"], "You live in Paris."),
            (["I live in Paris and my dog is Rex", "what's my dog?"], "Your dog is Rex."),
            (["My name is Al and my favourite colour is green", "what's my favourite colour?"], _GREEN),
            (["my email is a@b.com.", "what's my email?"], "Your email is a@b.com."),
            (["my dog's name is Rex", "what's my dog's name?"], "Your dog's name is Rex."),
            (["my shoes are red", "what are my shoes?"], "Your shoes are red."),
            (["my cat is Tom", "my cat is Tim", "what is my cat?"], "Your cat is Tim."),
            (["a", "what did we talk about?"], "You have said 1 thing before. The latest: “a”."),
        ],
    )
    def test_what_it_recalls(self, said: list[str], answer: str) -> None:
        """Each question is answered from what was said before it, the latest of it."""
        assert reply(said) == answer

    def test_it_says_once_what_it_is(self) -> None:
        """Where it has no answer it says that it is the small offline model, and later does not."""
        conversation: list[lc.BaseMessage] = []
        answers = []
        for line in ("I'm Alice", "It rains", "It rains"):
            conversation.append(lc.HumanMessage(line))
            conversation.append(OfflineModel().invoke(conversation))
            answers.append(str(conversation[-1].content))
        assert ["offline" in answer for answer in answers] == [False, True, False]
        assert answers[-1] == "Noted, Alice. That was your message number 3."

    @pytest.mark.parametrize(
        "text", ["I'm " * 20_000, "my " * 20_000, "I'm " + "A " * 20_000, "my x is" + " " * 20_000]
    )
    def test_long_lines(self, text: str) -> None:
        """No line makes the patterns take time that grows with its square."""
        start = time.process_time()
        for question in ("who am I?", "what is my zzz?", "where do I live?"):
            reply([text, question])
        assert time.process_time() - start < 3

    async def test_it_is_a_chat_model(self) -> None:
        """invoke, stream and astream give one answer."""
        model = OfflineModel()
        prompt = [lc.SystemMessage("x"), lc.HumanMessage("I'm Alice"), lc.AIMessage("hi"), lc.HumanMessage("who am I?")]
        assert model.invoke(prompt).content == "Your name is Alice."
        assert [chunk.content for chunk in model.stream(prompt)][:2] == ["Your ", "name "]
        assert "".join([str(chunk.content) async for chunk in model.astream(prompt)]) == "Your name is Alice."
