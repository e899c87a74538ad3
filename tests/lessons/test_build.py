"""The lesson builder, on a toy lesson without Kafka."""

import json
import shutil
from pathlib import Path

import build
import nbformat
import pytest
import source

TOY = """\
# %% [markdown]
# # 01 · Toy
#
# See [the next](02_next.ipynb), [the map](../docs/map.md) and ![a picture](images/a.png).

# %%
import os, sys
print("one")
print("two")

# %% tags=["starter"]
answer = ...

# %% tags=["solution", "exercise-1"]
answer = 42

# %% tags=["solution"]
assert answer == 42

# %% tags=["nbval-ignore-output"]
# !echo shell

# %%
answer
"""


@pytest.fixture
def course(tmp_path):
    (tmp_path / "lessons").mkdir()
    write(tmp_path, TOY)
    return tmp_path


def write(root, text, name="01_toy"):
    (root / "lessons" / f"{name}.py").write_text(text, encoding="utf-8")


def sources(path):
    return [cell.source for cell in nbformat.read(path, as_version=4).cells]


def files(root):
    return sorted(str(p.relative_to(root)) for p in root.rglob("*") if p.is_file())


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    root = tmp_path_factory.mktemp("course")
    (root / "lessons").mkdir()
    write(root, TOY)
    assert build.main([], root) == 0
    return root


@pytest.fixture
def copy(built, tmp_path):
    return Path(shutil.copytree(built, tmp_path / "copy"))


def test_learner_gets_starters_and_solutions_notebook_solutions(built):
    learner = sources(built / "notebooks/01_toy.ipynb")
    solved = sources(built / "notebooks/solutions/01_toy.ipynb")
    assert "answer = ..." in learner and "answer = 42" not in learner
    assert "answer = 42" in solved and "answer = ..." not in solved
    assert "!echo shell" in learner and "!echo shell" in solved


def test_both_are_executed_and_normalised(built):
    learner = nbformat.read(built / "notebooks/01_toy.ipynb", as_version=4)
    nbformat.validate(learner)
    code = [cell for cell in learner.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == [1, 2, 3, 4]
    assert [cell.id for cell in learner.cells] == [f"01-toy-{n:02}" for n in range(1, 6)]
    assert [output.text for output in code[0].outputs] == ["one\ntwo\n"]
    assert code[3].outputs[0].data["text/plain"] == "Ellipsis"
    assert code[2].metadata == {"tags": ["nbval-ignore-output"]}
    assert learner.metadata.kernelspec.name == "python3"
    solved = nbformat.read(built / "notebooks/solutions/01_toy.ipynb", as_version=4)
    assert solved.cells[-1].outputs[0].data["text/plain"] == "42"


def test_links_hold_from_the_solutions_folder(built):
    title = sources(built / "notebooks/solutions/01_toy.ipynb")[0]
    assert "(02_next.ipynb)" in title
    assert "(../../docs/map.md)" in title and "(../images/a.png)" in title


def test_solutions_are_written_for_the_package(built):
    text = (built / "helpers/brokerlab/exercises/solutions.json").read_text(encoding="utf-8")
    assert json.loads(text) == {"01_toy": {"1": "answer = 42"}}


def test_building_again_changes_nothing(copy):
    before = {name: (copy / name).read_bytes() for name in files(copy)}
    assert build.main(["01"], copy) == 0
    assert {name: (copy / name).read_bytes() for name in files(copy)} == before


def test_check_accepts_what_was_built(copy):
    assert build.main(["--check"], copy) == 0


def drift_source(root):
    write(root, TOY.replace('print("two")', 'print("three")'))


def drift_solution(root):
    path = root / "helpers/brokerlab/exercises/solutions.json"
    path.write_text('{"01_toy": {"1": "answer = 41"}}', encoding="utf-8")


def drift_missing(root):
    (root / "notebooks/solutions/01_toy.ipynb").unlink()


def drift_orphan(root):
    shutil.copy(root / "notebooks/01_toy.ipynb", root / "notebooks/99_gone.ipynb")


def drift_unexecuted(root):
    path = root / "notebooks/01_toy.ipynb"
    notebook = nbformat.read(path, as_version=4)
    notebook.cells[1].execution_count = None
    nbformat.write(notebook, path)


@pytest.mark.parametrize(
    ("drift", "said"),
    [
        (drift_source, "notebooks/01_toy.ipynb is not what lessons/01_toy.py builds to"),
        (drift_solution, "solutions.json has other solutions"),
        (drift_missing, "notebooks/solutions/01_toy.ipynb is missing"),
        (drift_orphan, "notebooks/99_gone.ipynb comes from no lesson"),
        (drift_unexecuted, "notebooks/01_toy.ipynb was not executed"),
    ],
)
def test_check_detects(copy, capsys, drift, said):
    drift(copy)
    assert build.main(["--check"], copy) == 1
    assert said in capsys.readouterr().err


def test_check_refuses_a_lesson_that_is_gone_but_not_its_solutions(copy, capsys):
    write(copy, TOY, "02_other")
    (copy / "lessons/01_toy.py").unlink()
    assert build.main(["--check"], copy) == 1
    assert "solutions of 01_toy, which is no lesson" in capsys.readouterr().err


def test_a_cell_that_fails_writes_nothing_and_is_named(course, capsys):
    write(course, TOY.replace("assert answer == 42", "assert answer == 43, 'no'"))
    assert build.main([], course) == 1
    said = capsys.readouterr().err
    assert "01_toy (solutions): cell 4 failed" in said
    assert "assert answer == 43" in said and "AssertionError: no" in said
    assert files(course) == ["lessons/01_toy.py"]


def test_a_cell_that_takes_too_long_is_named(course, capsys, monkeypatch):
    monkeypatch.setattr(build, "CELL_SECONDS", 1)
    write(course, "# %%\nprint('quick')\n\n# %%\nimport threading; threading.Event().wait(60)\n")
    assert build.main([], course) == 1
    assert "cell 2 failed" in (said := capsys.readouterr().err) and "longer than 1 s" in said
    assert files(course) == ["lessons/01_toy.py"]


@pytest.mark.parametrize(
    "leak",
    [
        "os.environ['BROKERLAB_HOME']",
        "sys.prefix",
        "os.path.expanduser('~')",
        "os.getcwd()",
        "'see https://repository.example/maven2/'",
    ],
)
def test_an_output_with_something_of_this_machine_is_refused(course, capsys, leak):
    write(course, TOY.replace('print("two")', f"print({leak})"))
    assert build.main([], course) == 1
    said = capsys.readouterr().err
    assert "01_toy (learner): the output of cell 2 shows" in said and "this machine" in said
    assert files(course) == ["lessons/01_toy.py"]


def test_the_registries_of_this_machine_are_refused(course, monkeypatch, capsys):
    monkeypatch.setenv("SOME_INDEX_URL", "https://mirror.example/simple")
    write(course, TOY.replace('print("two")', 'print("mirror" + ".example")'))
    assert build.main([], course) == 1
    assert "shows mirror.example" in capsys.readouterr().err


def test_a_cell_runs_in_a_fresh_home_in_the_notebooks_folder(course):
    write(
        course,
        "# %%\nimport os, shutil, sys\nfrom pathlib import Path\n"
        "print(Path.cwd().name, os.environ['BROKERLAB_LINGER'])\n"
        "print(os.listdir(os.environ['BROKERLAB_HOME']))\n"
        "print(Path(shutil.which('python')).parent == Path(sys.executable).parent)\n",
    )
    assert build.main([], course) == 0
    solved = nbformat.read(course / "notebooks/solutions/01_toy.ipynb", as_version=4)
    assert solved.cells[0].outputs[0].text == "solutions 3\n[]\nTrue\n"


@pytest.mark.parametrize("mark", ["# ", ""], ids=["commented", "plain"])
def test_a_program_is_written_as_it_will_run(course, mark):
    """Jupytext brings back the code of the magics that it knows; ours it does not."""
    lines = ["import sys", "", "if sys.argv:", "    # a reason", "    print(1)"]
    body = "\n".join((mark + line).rstrip() if line else mark.rstrip() for line in lines)
    file = course / "lessons" / "02_program.py"
    file.write_text(f"# %% [markdown]\n# # 02 · Program\n\n# %%\n# %%program a.py\n{body}\n")
    cells = source.Lesson(file).cells
    assert cells[-1].source.split("\n") == ["%%program a.py", *lines]


PAGE = """\
# %% [markdown]
# # Here

# %% tags=["nbval-ignore-output"]
from pathlib import Path
print(sorted(path.name for path in Path.cwd().glob("*.ipynb")))
"""


def test_the_progress_page_has_no_solutions_and_is_built_again_after_every_lesson(copy):
    write(copy, PAGE, "index")
    write(copy, TOY, "02_next")
    assert build.main(["02"], copy) == 0
    assert build.main(["--check"], copy) == 0
    page = nbformat.read(copy / "notebooks/index.ipynb", as_version=4)
    assert page.cells[-1].outputs[0].text == "['01_toy.ipynb', '02_next.ipynb']\n"
    assert not (copy / "notebooks/solutions/index.ipynb").exists()
    assert "index" not in (copy / "helpers/brokerlab/exercises/solutions.json").read_text()


def test_check_detects_a_progress_page_that_lacks_a_lesson(copy, capsys):
    write(copy, PAGE, "index")
    assert build.main(["index"], copy) == 0
    write(copy, TOY, "02_next")
    assert build.main(["--check"], copy) == 1
    assert "notebooks/index.ipynb does not show 02_next" in capsys.readouterr().err


def test_widget_state_is_dropped_and_the_text_beside_it_stays(course):
    write(course, "# %%\nimport ipywidgets\nipywidgets.IntSlider(3)\n")
    assert build.main([], course) == 0
    notebook = nbformat.read(course / "notebooks/01_toy.ipynb", as_version=4)
    (output,) = notebook.cells[0].outputs
    assert list(output.data) == ["text/plain"] and "widgets" not in notebook.metadata


def test_a_lesson_that_does_not_exist_is_one_sentence(course, capsys):
    assert build.main(["77"], course) == 1
    assert capsys.readouterr().err == "No lesson begins with '77': there are 01_toy.\n"


def test_no_lesson_at_all_is_one_sentence(tmp_path, capsys):
    assert build.main(["--check"], tmp_path) == 1
    assert "There is no lesson in" in capsys.readouterr().err
