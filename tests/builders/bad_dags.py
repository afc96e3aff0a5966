"""DAGs with one known problem each, for the tests of `dag_checks`."""

from typing import NamedTuple

from kfp import dsl
from kfp.dsl import Artifact, Input, Output


@dsl.component(base_image="python")
def many() -> list[str]:
    return ["a"]


@dsl.component(base_image="python")
def named() -> NamedTuple("Outputs", [("items", list[str]), ("word", str)]):
    return (["a"], "a")


@dsl.component(base_image="python")
def make(word: str, made: Output[Artifact], more: str = "") -> str:
    return word


@dsl.component(base_image="python")
def gather(made: Input[list[Artifact]]) -> list[str]:
    return ["a"]


@dsl.component(base_image="python")
def use(made: Input[Artifact]) -> str:
    return ""


def nested() -> None:
    with dsl.ParallelFor(["a", "b"]) as one, dsl.ParallelFor(["c", "d"]) as two:
        make(word=one, more=two)


def empty() -> None:
    with dsl.ParallelFor([]) as item:
        make(word=item)


def may_be_empty() -> None:
    with dsl.ParallelFor(many().output) as item:
        make(word=item)


def named_list() -> None:
    with dsl.ParallelFor(named().outputs["items"]) as item:
        make(word=item)


def named_condition() -> None:
    with dsl.If(named().outputs["word"] == "a"):
        make(word="a")


def dict_field() -> None:
    with dsl.ParallelFor([{"kind": "a"}, {"kind": "b"}]) as item, dsl.If(item.kind == "a"):
        make(word="a")


def importing() -> None:
    use(made=dsl.importer(artifact_uri="gs://b/x", artifact_class=Artifact).output)


@dsl.component(base_image="python")
def last(status: dsl.PipelineTaskFinalStatus) -> None:
    pass


def exit_handler() -> None:
    with dsl.ExitHandler(last()), dsl.ParallelFor(["a"]) as item:
        make(word=item)


def one_of_artifacts() -> Artifact:
    with dsl.If(make(word="a").outputs["Output"] == "a"):
        one = make(word="a")
    with dsl.Else():
        two = make(word="b")
    return dsl.OneOf(one.outputs["made"], two.outputs["made"])


def collected_in_a_loop() -> None:
    with dsl.ParallelFor(["a"]) as outer:
        with dsl.ParallelFor(["b"]) as inner:
            one = make(word=inner, more=outer)
        gather(made=dsl.Collected(one.outputs["made"]))


def parameter_into_a_loop() -> None:
    first = make(word="a")
    with dsl.ParallelFor(["a", "b"]) as item:
        make(word=item, more=first.outputs["Output"])


def collected_into_a_second_loop() -> None:
    with dsl.ParallelFor(["a"]) as item:
        one = make(word=item)
    with dsl.ParallelFor(["a"]) as item:
        gather(made=dsl.Collected(one.outputs["made"]))
        make(word=item)


def loop_over_collected_artifacts() -> None:
    with dsl.ParallelFor(["a"]) as item:
        one = make(word=item)
    with dsl.ParallelFor(dsl.Collected(one.outputs["made"])) as made:
        use(made=made)


def read_from_outside_an_if() -> None:
    with dsl.If(make(word="a").outputs["Output"] == "a"):
        one = make(word="a")
    use(made=one.outputs["made"])
