"""The blocks `model` and `finetune` of `params.yaml`."""

from typing import Literal

from pydantic import Field

from sparsecbm.base.params.section import Section, Share


class Model(Section):
    """What is trained."""

    backbone: str
    mode: Literal["standard", "joint", "sequential", "independent"]
    pooling: Literal["mean", "cls", "last_token"]
    activation: Literal["soft", "logits", "hard"]
    max_length: int = Field(ge=8)
    dropout: Share


class Finetune(Section):
    """How it is trained."""

    epochs: int = Field(ge=1)
    batch_size: int = Field(ge=1)
    accumulate: int = Field(ge=1)
    learning_rate: float = Field(gt=0)
    head_learning_rate: float = Field(gt=0)
    label_head_learning_rate: float = Field(gt=0)
    refit_label_head: bool
    weight_decay: float = Field(ge=0)
    warmup: Share
    max_grad_norm: float = Field(gt=0)
    gamma: float = Field(ge=0)
    ema_decay: float = Field(ge=0, lt=1)
    targets: Literal["majority", "votes"]
    label_smoothing: Share
    freeze_embeddings: bool
    class_weights: Literal["none", "balanced"]
    patience: int = Field(ge=1)
    precision: Literal["auto", "float32", "bf16"]
    device: Literal["auto", "cpu"]
    checkpoint_seconds: float = Field(ge=0)
