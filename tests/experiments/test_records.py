"""Records survive what happens to long runs."""

import pytest

from tracache.experiments.records import Records


def record(setting, index, **more):
    return {"setting": setting, "index": index, **more}


def test_records_of_all_workers_are_read_once_and_in_order(tmp_path):
    first, second = Records(tmp_path, 0), Records(tmp_path, 1)
    second.append(record("b", 1))
    first.append(record("a", 2))
    first.append(record("a", 0))
    second.append(record("a", 0))
    assert [(r["index"], r["setting"]) for r in first.read()] == [(0, "a"), (1, "b"), (2, "a")]
    assert first.keys() == second.keys() == {("a", 0), ("b", 1), ("a", 2)}


def test_half_a_line_is_passed_over_and_does_not_spoil_the_next(tmp_path):
    records = Records(tmp_path)
    records.append(record("a", 0))
    with records.file.open("a") as out:
        out.write('{"setting": "a", "ind')
    assert records.keys() == {("a", 0)}
    records.append(record("a", 1, psnr=30.5))
    assert records.read()[1]["psnr"] == 30.5
    assert records.keys() == {("a", 0), ("a", 1)}


def test_what_json_does_not_know_is_refused(tmp_path):
    records = Records(tmp_path)
    with pytest.raises(ValueError):
        records.append(record("a", 0, psnr=float("inf")))
    assert records.read() == []


def test_a_folder_keeps_to_one_run(tmp_path):
    Records(tmp_path).begin({"model": "scenes-t2i", "steps": (1, 2)})
    Records(tmp_path).begin({"model": "scenes-t2i", "steps": (1, 2)})
    with pytest.raises(ValueError, match="holds a run with model 'scenes-t2i', not 'other'"):
        Records(tmp_path).begin({"model": "other", "steps": (1, 2)})


def test_a_damaged_line_is_named_and_the_rest_goes_on(tmp_path, caplog):
    records = Records(tmp_path)
    records.append(record("a", 0, error=0.5, steps=[0, 3]))
    with records.file.open("a") as out:
        out.write('{"setting": "a", "index": 1, "error": "large", "steps": [0, 3]}\n')
        out.write('{"setting": ["a"], "index": 2, "error": 0.1}\n[1]\n{"setting": "a"\n\n')
        out.write('{"setting": "a", "index": true}\n' + "[" * 50_000 + "\n")
    records.append(record("a", 3, error=1, steps=None))
    assert records.keys() == {("a", 0), ("a", 3)}
    said = [r.getMessage() for r in caplog.records]
    lines = [line.partition(", line ")[2].partition(",")[0] for line in said]
    assert lines == ["2", "3", "4", "5", "7", "8"]
    assert f"{records.file}, line 2, is passed over" in said[0]
    assert "its error is text, where others have a number" in said[0]


def test_two_runs_do_not_write_to_one_folder(tmp_path):
    """Each of a run's own workers does; another run hears why not, until the first has ended."""
    header = {"model": "scenes-t2i"}
    first, second = Records(tmp_path, 0), Records(tmp_path, 1)
    first.begin(header), second.begin(header)
    other = Records(tmp_path, 0)
    with pytest.raises(ValueError, match="another run is writing to"):
        other.begin(header)
    del first
    other.begin(header)


@pytest.mark.parametrize("text", ["", "{", "[1, 2]", "7"])
def test_a_damaged_header_is_named(tmp_path, text):
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(ValueError, match=f"{tmp_path}/run.json is damaged"):
        Records(tmp_path).begin({"model": "scenes-t2i"})
