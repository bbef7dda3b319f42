"""What a fine-tuning config may say: `PipelineConfig` and its blocks.

The blocks are pydantic models because people type them; `config_errors` turns what pydantic finds wrong
into one `PipelineConfigError`. Nothing here imports torch or transformers.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AliasChoices,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    StrictInt,
    Tag,
    ValidationError,
    field_validator,
    model_validator,
)

from trackbridge.errors import PipelineConfigError
from trackbridge.events.names import check_project_name
from trackbridge.finetune.config_errors import explain

MetricName = Literal["mcc", "accuracy", "f1", "pearson"]
Column = StrictInt | str
"""A column by name, or by number from 1."""
EvalSetName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]
SeedValue = Annotated[StrictInt, Field(ge=0, lt=2**32)]


class Block(BaseModel):
    """A part of the config: read-only, and a key it does not know is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class PretrainedModel(Block):
    """A model and its tokenizer from a local folder or the Hugging Face hub.

    `path` is a folder if one of that name exists, and else a hub id. `dropout` replaces every dropout
    probability of the model's config; null leaves them as they are. Longer inputs than `max_length`
    tokens are cut.
    """

    path: str
    revision: str | None = None
    max_length: int = Field(default=128, ge=4)
    dropout: float | None = Field(default=None, ge=0, lt=1)


class BuiltinModel(Block):
    """A BERT small enough to train in seconds, with a word-level tokenizer made from the training texts."""

    builtin: Literal["tiny-bert"]
    layers: int = Field(default=2, ge=1)
    hidden_size: int = Field(default=64, ge=4)
    heads: int = Field(default=4, ge=1)
    max_length: int = Field(default=64, ge=4)
    dropout: float = Field(default=0.1, ge=0, lt=1)

    @model_validator(mode="after")
    def _heads_divide_hidden_size(self) -> BuiltinModel:
        if self.hidden_size % self.heads:
            raise ValueError(f"hidden_size {self.hidden_size} must be a multiple of heads {self.heads}")
        return self


class LocalData(Block):
    """Delimited or JSON Lines files below `folder`, which is relative to the working directory.

    `format` defaults to the training file's suffix. `quoting: none` splits at every delimiter and takes
    quotation marks as text, which is what TSV files mean by them (CoLA, GLUE); `csv` obeys quotation marks.
    The default is `none` for TSV and `csv` for CSV.
    """

    folder: Path = Path()
    train: Path
    eval: dict[EvalSetName, Path] = Field(min_length=1)
    format: Literal["tsv", "csv", "jsonl"] | None = None
    header: bool = True
    quoting: Literal["none", "csv"] | None = None
    text: Column = "text"
    text_pair: Column | None = None
    label: Column = "label"

    @property
    def file_format(self) -> Literal["tsv", "csv", "jsonl"]:
        """The format as told, or as the training file's suffix tells it."""
        if self.format is not None:
            return self.format
        formats: dict[str, Literal["tsv", "csv", "jsonl"]]
        formats = {".tsv": "tsv", ".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl"}
        return formats[self.train.suffix.lower()]

    @model_validator(mode="after")
    def _format_is_known(self) -> LocalData:
        if self.format is None and self.train.suffix.lower() not in {".tsv", ".csv", ".jsonl", ".ndjson"}:
            raise ValueError(f"cannot tell the format of {self.train}: set data.format to tsv, csv or jsonl")
        return self

    @model_validator(mode="after")
    def _columns_can_be_found(self) -> LocalData:
        named = [c for c in (self.text, self.text_pair, self.label) if isinstance(c, str)]
        if not self.header and self.file_format != "jsonl" and named:
            raise ValueError(f"column {named[0]!r} is a name, but with header: false columns are numbers from 1")
        return self


class HubData(Block):
    """A dataset of the Hugging Face hub, or any folder `datasets.load_dataset` reads.

    `train` and the values of `eval` are split names; `subset` is the dataset's configuration (`cola`).
    """

    hub: str
    subset: str | None = None
    revision: str | None = None
    train: str = "train"
    eval: dict[EvalSetName, str] = Field(default={"validation": "validation"}, min_length=1)
    text: str = "text"
    text_pair: str | None = None
    label: str = "label"


class BuiltinData(Block):
    """Sentences of the built-in acceptability grammar; `train` and the values of `eval` are counts.

    Each number `corpus` is another draw of sentences; it has nothing to do with the training's seeds.
    """

    builtin: Literal["acceptability"]
    train: int = Field(default=8000, ge=2)
    eval: dict[EvalSetName, Annotated[int, Field(ge=2)]] = Field(default={"dev": 1000}, min_length=1)
    corpus: int = Field(default=0, ge=0)


class Training(Block):
    """How long, how fast and in what portions to train.

    An update is one optimizer step of `batch_size` x `gradient_accumulation` examples per process.
    `warmup` below 1 is a share of all updates, else a number of them. `schedule: constant` stays at
    `learning_rate` after the warmup. `bf16: auto` uses bfloat16 where the hardware computes in it.
    `threads` is torch's number of CPU threads (null leaves its own choice): it changes the last bits of sums.
    """

    epochs: float | None = Field(default=None, gt=0)
    max_steps: int | None = Field(default=None, ge=1)
    batch_size: int = Field(default=32, ge=1)
    gradient_accumulation: int = Field(default=1, ge=1)
    learning_rate: float = Field(default=2e-5, gt=0)
    schedule: Literal["linear", "cosine", "constant"] = "linear"
    warmup: float = Field(default=0.1, ge=0)
    weight_decay: float = Field(default=0.01, ge=0)
    max_gradient_norm: float = Field(default=1.0, ge=0)
    bf16: Literal["auto"] | bool = "auto"
    device: Literal["auto", "cpu"] = "auto"
    threads: int | None = Field(default=None, ge=1)
    log_every: int = Field(default=10, ge=1)

    @model_validator(mode="before")
    @classmethod
    def _length_is_told_once(cls, given: Any) -> Any:
        if not isinstance(given, Mapping):
            return given
        if given.get("epochs") is not None and given.get("max_steps") is not None:
            raise ValueError("give either epochs or max_steps, not both")
        return {"epochs": 3.0, **given} if given.get("max_steps") is None else given

    @field_validator("warmup")
    @classmethod
    def _warmup_is_a_share_or_a_count(cls, warmup: float) -> float:
        if warmup >= 1 and warmup != int(warmup):
            raise ValueError(f"{warmup:g} is neither a share below 1 nor a whole number of updates")
        return warmup


class Evaluation(Block):
    """When to score, and which score chooses the best weights.

    Every eval set is scored every `every` updates and after the last one. The best weights are those with
    the highest `metric` on the set `choose_on` (by default the first); the other sets are only reported.
    """

    metric: MetricName = "accuracy"
    every: int = Field(default=50, ge=1)
    choose_on: str | None = None
    batch_size: int = Field(default=64, ge=1)


class Checkpoints(Block):
    """What is kept on disk: a resume checkpoint every `every` updates while training, and the best weights.

    `keep` says which resume checkpoints stay when the training is over: `none`, or `all`.
    The best weights are kept in either case.
    """

    every: int = Field(default=500, ge=1)
    keep: Literal["none", "all"] = "none"


class Seeds(Block):
    """The three independent sources of chance in a fine-tuning.

    `init` draws the weights that no checkpoint provides, `data` orders the examples, `dropout` draws the
    dropout masks. The long names are those of the stabilizer scripts
    (https://github.com/flowerpot-ai/stabilizer), whose defaults these are.
    """

    init: SeedValue = Field(default=1000, validation_alias=AliasChoices("init", "layer_initialization_seed"))
    data: SeedValue = Field(default=41, validation_alias=AliasChoices("data", "dataloader_seed"))
    dropout: SeedValue = Field(default=1234, validation_alias=AliasChoices("dropout", "dropout_seed"))


def _model_tag(given: Any) -> str:
    return "(built-in)" if _has(given, "builtin") else "(pre-trained)"


def _data_tag(given: Any) -> str:
    if _has(given, "builtin"):
        return "(built-in)"
    return "(hub)" if _has(given, "hub") else "(local)"


def _has(given: Any, key: str) -> bool:
    return key in given if isinstance(given, Mapping) else hasattr(given, key)


ModelBlock = Annotated[
    Annotated[BuiltinModel, Tag("(built-in)")] | Annotated[PretrainedModel, Tag("(pre-trained)")],
    Discriminator(_model_tag),
]
DataBlock = Annotated[
    Annotated[BuiltinData, Tag("(built-in)")] | Annotated[HubData, Tag("(hub)")] | Annotated[LocalData, Tag("(local)")],
    Discriminator(_data_tag),
]


class PipelineConfig(Block):
    """One training, told completely: what `trackbridge finetune` runs and what the run records."""

    project: str = "finetune"
    name: str | None = None
    model: ModelBlock
    data: DataBlock
    training: Training = Training()
    evaluation: Evaluation = Evaluation()
    checkpoints: Checkpoints = Checkpoints()
    seeds: Seeds = Seeds()

    @field_validator("project")
    @classmethod
    def _project_can_be_a_folder(cls, project: str) -> str:
        return check_project_name(project)

    @model_validator(mode="after")
    def _choose_on_is_an_eval_set(self) -> PipelineConfig:
        if self.evaluation.choose_on is not None and self.evaluation.choose_on not in self.data.eval:
            known = ", ".join(self.data.eval)
            raise ValueError(
                f"evaluation.choose_on {self.evaluation.choose_on!r} is no eval set (data.eval has: {known})"
            )
        return self

    @model_validator(mode="after")
    def _resumed_runs_log_the_same_averages(self) -> PipelineConfig:
        # the logged loss is the mean since the last log, and a resumed Trainer begins a new mean
        if self.checkpoints.every % self.training.log_every:
            raise ValueError(
                f"checkpoints.every {self.checkpoints.every} must be a multiple of"
                f" training.log_every {self.training.log_every}"
            )
        return self

    @property
    def chosen_set(self) -> str:
        """The eval set whose score chooses the best weights."""
        return self.evaluation.choose_on or next(iter(self.data.eval))

    @property
    def is_regression(self) -> bool:
        """Whether labels are real numbers (Pearson's correlation is the metric) rather than classes."""
        return self.evaluation.metric == "pearson"

    def recorded(self) -> dict[str, Any]:
        """The config as the run records it: JSON values, without names, seeds and where the data lies.

        Seeds have an event of their own and data files a digest, so that runs which differ in nothing else
        are seen to be replicates, on whichever machine they ran.
        """
        return self.model_dump(mode="json", exclude={"project": True, "name": True, "seeds": True, "data": {"folder"}})


class Variant(Block):
    """A named set of dotted keys (`training.epochs`) in which a part of a study differs from the rest."""

    name: str = Field(min_length=1)
    set: dict[str, Any] = {}


class StudyConfig(PipelineConfig):
    """Every key a config file may have; `plan` spreads variants and lists of seeds out into single configs."""

    variants: list[Variant] = []


def parse_config(given: Mapping[str, Any], *, source: str = "config") -> PipelineConfig:
    """The validated config.

    Raises:
        PipelineConfigError: names `source`, every wrong key and, for unknown keys, the nearest known one.
    """
    try:
        return PipelineConfig.model_validate(given)
    except ValidationError as error:
        raise PipelineConfigError(explain(error, StudyConfig, source)) from None
