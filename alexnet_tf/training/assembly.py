"""Puts a run together from its options: dataset, net, update, schedule, trainer."""

import dataclasses
import functools
import math
from collections.abc import Callable

import keras
import tensorflow as tf
from absl import logging

from alexnet_tf.data import input_pipeline, preparation, prepared_dataset
from alexnet_tf.evaluation import evaluator, image_sets
from alexnet_tf.models import architecture as architectures
from alexnet_tf.models import builder, layers, trained
from alexnet_tf.training import (
    checkpoint,
    initial_weights,
    optimizer,
    replication,
    schedule,
    train_options,
    trainer,
    validation_images,
)


@dataclasses.dataclass(frozen=True)
class Assembly:
    """A run that has been put together.

    Attributes:
        options: those of the run, with the architecture, the initialization and the
            dropout convention that they leave open.
        trainer: the run.
        dataset: the prepared dataset that the net is trained on.
        trained: the net as it is written into the run folder.
        devices: a description of the devices that the run uses.
        taken: what the net has taken from the initial weights; None if it has none.
    """

    options: train_options.TrainOptions
    trainer: trainer.Trainer
    dataset: prepared_dataset.Dataset
    trained: trained.TrainedNet
    devices: str
    taken: initial_weights.Taken | None = None


def assemble(
    options: train_options.TrainOptions, replicas: replication.Replicas | None = None
) -> Assembly:
    """Returns the run that the options describe; `precision` must not be "auto".

    Raises ValueError for options that do not fit the dataset, the net or the devices.
    """
    train_options.refuse_contradictions(options)
    replicas = replicas or replication.Replicas()
    initial = initial_weights.find(options)
    options = initial_weights.with_conventions(options, initial)
    assert options.net.architecture is not None
    net = train_options.net_of(options.net)
    rows = replicas.rows(options.recipe.batch_size)
    dataset = _open_dataset(options.data, net, replicas)
    architecture = net.with_classes(len(dataset.classes))
    described = _describe(options, dataset, architecture, initial)
    devices = replicas.tower_devices(options.devices.tower_devices, net.towers)
    with replicas.scope():
        model = _build_net(options, described, devices)
        described = dataclasses.replace(
            described, normalization=layers.normalization_of(model)
        )
        _freeze(model, architecture, options.start)
        rule = _make_optimizer(options, architecture, model, replicas)
    taken = None
    if isinstance(initial, initial_weights.InitialWeights):
        taken = initial_weights.take(
            initial,
            model,
            architecture,
            dataset.classes,
            train_options.factors_of(options.start.learning_rate_factors),
        )
        if initial.resize != dataset.resize:
            logging.warning(
                "%s was prepared with --resize=%s, and the weights of %s were trained on "
                "images with --resize=%s: the trained net has that of the dataset",
                *(dataset.path, dataset.resize, initial.path, initial.resize),
            )
    steps_per_epoch = input_pipeline.steps_per_epoch(dataset, options.recipe.batch_size)
    last_step = options.run.max_steps or math.ceil(options.run.epochs * steps_per_epoch)
    run = trainer.Trainer(
        net=model,
        rule=rule,
        schedule=make_schedule(options.recipe),
        batches=_batches(options, dataset, architecture, rows),
        validation=_validation(options, dataset, model, architecture),
        validation_split=_validation_split(options, dataset),
        look=_look(options, dataset, model, architecture),
        checkpoints=checkpoint.Checkpoints(
            options.run.run_dir, model, rule.velocities, net=described
        ),
        batch_size=options.recipe.batch_size,
        steps_per_epoch=steps_per_epoch,
        last_step=last_step,
        cadence=_cadence(options.run, steps_per_epoch, last_step),
        replicas=replicas,
    )
    return Assembly(
        options,
        run,
        dataset,
        described,
        ", ".join(devices) if devices else str(replicas),
        taken,
    )


def _open_dataset(
    data: train_options.DatasetOptions,
    net: architectures.Architecture,
    replicas: replication.Replicas,
) -> prepared_dataset.Dataset:
    def find() -> prepared_dataset.Dataset:
        return preparation.find_or_prepare(
            data.dataset,
            size=net.record_size,
            encoding=net.record_encoding,
            data_dir=data.data_dir,
            manual_dir=data.manual_dir,
            max_bad_files=data.max_bad_files,
        )

    # The first worker comes first: if the folder is shared, the others find its work.
    replicas.from_chief(lambda: str(find().path))
    return find()


def _describe(
    options: train_options.TrainOptions,
    dataset: prepared_dataset.Dataset,
    architecture: architectures.Architecture,
    initial: initial_weights.InitialWeights | trained.TrainedNet | None,
) -> trained.TrainedNet:
    """Returns the net as it is written into the run folder.

    Weights are used with the mean image that they were trained with, unless their net
    reads images of another size.
    """
    side = architecture.input_size
    mean = None if initial is None else initial.mean
    if mean is None or mean.shape[0] != side:
        mean = dataset.statistics().mean_crop(side)
    return trained.TrainedNet(
        architecture,
        dataset.classes,
        mean,
        options.net.dropout or architecture.dropout,
        options.net.precision,
        str(dataset.path),
        dataset.digest(),
        background=dataset.background,
        resize=dataset.resize,
        started_from=None if initial is None else initial.started_from,
    )


def _freeze(
    model: keras.Model,
    architecture: architectures.Architecture,
    start: train_options.FineTuningOptions,
) -> None:
    """Makes the layers that --freeze names untrainable."""
    frozen = {
        layer
        for name in start.freeze
        for layer in optimizer.layers_named(architecture, name)
    }
    factors = train_options.factors_of(start.learning_rate_factors)
    if both := sorted(frozen & factors.keys()):
        raise ValueError(
            f"{both[0]} is frozen and has a learning rate factor: leave it out of "
            "--freeze or of --learning_rate_factors"
        )
    for layer in model.layers:
        if architectures.layer_of(layer.name) in frozen:
            layer.trainable = False
    if not model.trainable_variables:
        raise ValueError(
            f"--freeze={','.join(start.freeze)} freezes all layers, so that nothing "
            "learns: leave out at least one"
        )


def _build_net(
    options: train_options.TrainOptions,
    described: trained.TrainedNet,
    devices: tuple[str, ...] | None,
) -> keras.Model:
    return builder.build(
        described.architecture,
        mean=described.mean,
        devices=devices,
        precision=options.net.precision,
        initialization=options.net.init,
        dropout=described.dropout,
        lrn=options.net.lrn,
        winograd=options.net.winograd,
        seed=options.recipe.seed,
    )


def _make_optimizer(
    options: train_options.TrainOptions,
    architecture: architectures.Architecture,
    net: keras.Model,
    replicas: replication.Replicas,
) -> optimizer.MomentumSGD:
    variables = net.trainable_variables
    return optimizer.MomentumSGD(
        variables,
        optimizer.weight_decays_of(
            architecture, variables, options.recipe.weight_decay
        ),
        options.recipe.momentum,
        optimizer.learning_rate_factors_of(
            architecture,
            variables,
            train_options.factors_of(options.start.learning_rate_factors),
        ),
        # What replicas exchange stays float32.
        layers.keep_kernel_copies(net) if replicas.count == 1 else None,
    )


def make_schedule(recipe: train_options.RecipeOptions) -> schedule.Schedule:
    """Returns the schedule that a recipe describes."""
    initial = schedule.scaled_learning_rate(
        recipe.learning_rate,
        recipe.learning_rate_scaling,
        recipe.batch_size / recipe.reference_batch_size,
    )
    factor = recipe.bias_learning_rate_factor
    if recipe.schedule == "plateau":
        return schedule.Plateau(
            initial, most_drops=recipe.plateau_drops, bias_factor=factor
        )
    return schedule.Epochs(
        initial,
        recipe.drop_epochs,
        bias_factor=factor,
        bias_drops=recipe.bias_drop_epochs,
        conv1_drop=recipe.conv1_drop_epoch,
        conv1_freeze=recipe.conv1_freeze_epoch,
    )


def _batches(
    options: train_options.TrainOptions,
    dataset: prepared_dataset.Dataset,
    architecture: architectures.Architecture,
    rows: tuple[int, int],
) -> Callable[[int, int], tf.data.Dataset]:
    """Returns this process's rows of the batches between two steps."""
    recipe = input_pipeline.Recipe(
        options.recipe.batch_size,
        architecture.input_size,
        options.recipe.seed,
        options.recipe.color_noise,
        options.recipe.color_noise_end_epoch,
        options.recipe.crop_sharing,
        options.recipe.crops,
        options.recipe.mirror,
    )
    return lambda first, last: input_pipeline.training_batches(
        dataset,
        recipe,
        first_step=first,
        last_step=last,
        rows=rows,
        damaged=options.data.damaged_records,
    )


def _validation(
    options: train_options.TrainOptions,
    dataset: prepared_dataset.Dataset,
    net: keras.Model,
    architecture: architectures.Architecture,
) -> trainer.Validation | None:
    if options.run.validation == "never":
        return None
    measure = functools.partial(
        evaluator.Evaluation(net, ten_crop=False),
        dataset,
        dataset.evaluation_split,
        crop=architecture.input_size,
        batch_size=options.recipe.batch_size,
        damaged=options.data.damaged_records,
    )
    return lambda each_batch: measure(each_batch=each_batch)["center_crop"]


def _validation_split(
    options: train_options.TrainOptions, dataset: prepared_dataset.Dataset
) -> str:
    """What the run validates on; "" if it never does, and needs no such split."""
    return "" if options.run.validation == "never" else dataset.evaluation_split


def _look(
    options: train_options.TrainOptions,
    dataset: prepared_dataset.Dataset,
    net: keras.Model,
    architecture: architectures.Architecture,
) -> validation_images.Look | None:
    if options.run.validation == "never" or not options.run.log_images:
        return None
    images = functools.partial(
        image_sets.split_images,
        dataset,
        dataset.evaluation_split,
        side=architecture.input_size,
        damaged=options.data.damaged_records,
    )
    return validation_images.Look(net, architecture, images, dataset.classes)


def _cadence(
    run: train_options.RunOptions, steps_per_epoch: int, last_step: int
) -> trainer.Cadence:
    validation = max(1, round(run.validate_epochs * steps_per_epoch))
    if run.validation == "end":
        validation = max(1, last_step)
    return trainer.Cadence(run.log_steps, run.checkpoint_steps, validation)
