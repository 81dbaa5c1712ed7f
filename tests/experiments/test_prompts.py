"""Prompts from files and from the Hub's cache, and which of them are kept for tuning."""

import argparse

import pytest
from huggingface_hub import constants

from tracache.cli.main import main
from tracache.experiments.prompts import SETS, digest_of_prompts, read_prompts, split_prompts
from tracache.experiments.subjects import HELDOUT, TUNING, all_subjects

DRAWN = ["A red car.", 'A sign that says "Hello, you".', "One cat\nand two dogs"]


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """Puts a dataset's file where the Hub's client keeps what it downloaded; it is switched off."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))

    def put(name, text):
        wanted = SETS[name]
        folder = tmp_path / f"datasets--{wanted.repo.replace('/', '--')}"
        commit = "0" * 40
        (folder / "snapshots" / commit).mkdir(parents=True)
        (folder / "snapshots" / commit / wanted.file).write_text(text, "utf-8")
        (folder / "refs").mkdir()
        (folder / "refs" / "main").write_text(commit)

    return put


def test_a_known_set_comes_from_the_hub(hub):
    quoted = "".join('"{}",x\n'.format(text.replace('"', '""')) for text in DRAWN)
    hub("drawbench", "Prompts,Category\n" + quoted)
    assert read_prompts("drawbench") == [*DRAWN[:2], "One cat and two dogs"]
    # Marks in a TSV are marks.
    hub(
        "parti", 'Prompt\tCategory\tChallenge\tNote\n"G I G" on a wall\tx\tx\t\na 7" disc\tx\tx\t\n'
    )
    assert read_prompts("parti") == ['"G I G" on a wall', 'a 7" disc']


def test_without_the_hub_it_is_said_what_to_bring(hub, capsys, tmp_path):
    with pytest.raises(ValueError, match=r"DrawBench cannot be had from the Hub: connect .*Sheet1"):
        read_prompts("drawbench")
    out = tmp_path / "out"
    for command in (["league", "scenes-t2i"], ["sweep"]):
        assert main([*command, "--prompts", "parti", "--output", str(out)]) == 2
        told = capsys.readouterr().err
        assert "bring 'PartiPrompts.tsv' of its dataset nateraw/parti-prompts here" in told
    assert not out.exists()


@pytest.mark.parametrize(
    "name, text, told",
    [
        ("x.csv", "Category,Note\na,b\n", "has no column Prompt; there are: category, note"),
        ("x.csv", "", "has no column Prompt; there are: none"),
        ("x.txt", " \n\n", "holds no prompt"),
        ("x.txt", b"\xff\xfe\xfa", "is no text in UTF-8"),
    ],
)
def test_a_file_that_is_none_of_prompts(tmp_path, name, text, told):
    file = tmp_path / name
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ValueError, match=told):
        read_prompts(str(file))


def test_files_of_one_a_line_and_of_columns(tmp_path):
    lines, table = tmp_path / "x.txt", tmp_path / "y.csv"
    lines.write_text("\ufeffa red cube \n\n  a blue cone\n", "utf-8")
    assert read_prompts(str(lines)) == ["a red cube", "a blue cone"]
    table.write_text('id, Prompt\n1,"a red, red cube"\n2,\n3,a blue cone\n')
    assert read_prompts(str(table)) == ["a red, red cube", "a blue cone"]
    with pytest.raises(FileNotFoundError, match=r"no such file; drawbench, parti, or a file"):
        read_prompts(str(tmp_path / "z.txt"))


def test_who_is_for_tuning_hangs_on_the_words_alone():
    prompts = [f"prompt {i}" for i in range(200)]
    reported, apart = split_prompts(prompts)
    assert (len(reported), len(apart)) == (180, 20)
    assert reported == [p for p in prompts if p in set(reported)]
    again = split_prompts(prompts[::-1])
    assert (set(again[0]), set(again[1])) == (set(reported), set(apart))
    # The same prompt twice is on one side; of few there is one at least.
    one, other = split_prompts(["a", "b", "a", "b"])
    assert {tuple(one), tuple(other)} == {("a", "a"), ("b", "b")}
    with pytest.raises(ValueError, match="give two different ones"):
        split_prompts(["a", "a"])
    assert digest_of_prompts(["a", "b"]) != digest_of_prompts(["b", "a"])


def test_what_is_tuned_on_a_known_set_keeps_to_its_tenth(hub):
    hub("parti", "Prompt\n" + "".join(f"prompt {i}\n" for i in range(40)))
    asked = argparse.Namespace(model="flux.1-dev", prompts="parti")
    every, apart = all_subjects(asked, HELDOUT)[0], all_subjects(asked, TUNING)[0]
    assert (len(every), len(apart)) == (40, 4)
    assert set(apart) < set(every)
