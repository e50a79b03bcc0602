"""Users see error messages without the text that TensorFlow adds to them."""

import pathlib

import pytest
import tensorflow as tf

from alexnet_tf.runtime import errors

# Errors as a session reports them and as a server's REST API sends them.
OF_A_SESSION = (
    "Graph execution error:\n\nassertion failed: [image_bytes: too large]\n"
    "\t [[{{node case/cond/Assert/Assert}}]]\n\t [[StatefulPartitionedCall]]"
)
OF_A_SERVER = (
    "assertion failed: [image_bytes: not a JPEG] [it has 16 bits]\n\t [[{{node x}}]]"
)


@tf.function
def refuse(image_bytes):
    with tf.control_dependencies([tf.debugging.Assert(False, ["image_bytes: bad"])]):
        return tf.identity(image_bytes)


def multiply_mismatched_matrices():
    tf.matmul(tf.ones([2, 3]), tf.ones([2, 3]))


def read_record(number):
    raise ValueError(f"record {number} is corrupt:\nits checksum differs")


def call_back():
    tf.py_function(read_record, [7], tf.float32)


def call_back_in_a_dataset():
    records = tf.data.Dataset.range(7, 8)
    next(iter(records.map(lambda n: tf.numpy_function(read_record, [n], tf.int64))))


def error_of(function, *arguments):
    with pytest.raises(tf.errors.OpError) as raised:
        function(*arguments)
    return raised.value


def test_the_first_line_of_a_graphs_error_is_its_message():
    error = error_of(refuse, tf.constant(b""))
    assert "Graph execution error" in str(error)  # to be removed
    assert errors.first_line(error) == "image_bytes: bad"
    assert errors.first_line(error.message) == "image_bytes: bad"


def test_one_line_of_a_graphs_error_omits_the_node():
    error = error_of(refuse, tf.constant(b""))
    assert errors.one_line(error) == "assertion failed: [image_bytes: bad]"
    shown = errors.one_line(OF_A_SESSION)
    assert shown == "assertion failed: [image_bytes: too large]"


def test_the_error_of_one_operation_omits_its_name():
    error = error_of(multiply_mismatched_matrices)
    message = "Matrix size-incompatible: In[0]: [2,3], In[1]: [2,3]"
    assert "[Op:MatMul]" in str(error)
    assert errors.first_line(error) == message
    assert errors.one_line(error) == message


@pytest.mark.parametrize("function", [call_back, call_back_in_a_dataset])
def test_the_error_of_a_callback_omits_its_traceback(function):
    error = error_of(function)
    assert "Traceback" in str(error)
    assert errors.first_line(error) == "record 7 is corrupt:"
    assert errors.one_line(error) == "record 7 is corrupt: its checksum differs"


def test_the_error_text_of_a_server_is_cleaned_too():
    assert errors.first_line(OF_A_SESSION) == "image_bytes: too large"
    assert errors.first_line(OF_A_SERVER) == "image_bytes: not a JPEG it has 16 bits"
    assert errors.first_line("the queue is full") == "the queue is full"


@pytest.mark.parametrize("function", [errors.one_line, errors.first_line])
def test_an_error_that_tensorflow_added_nothing_to_is_unchanged(function):
    assert function(ValueError("size must be odd, got 4")) == "size must be odd, got 4"
    assert function(KeyError("images")) == "'images'"
    assert function("shape [2, 3] differs from [3]") == "shape [2, 3] differs from [3]"


@pytest.mark.parametrize("function", [errors.one_line, errors.first_line])
def test_an_error_without_any_message_is_unchanged(function):
    assert function("Graph execution error:\n") == "Graph execution error:"
    assert function("") == ""


def test_first_line_is_shorter_than_one_line_for_a_long_message():
    error = ValueError("two layers differ:\n  conv1\n  conv2")
    assert errors.first_line(error) == "two layers differ:"
    assert errors.one_line(error) == "two layers differ: conv1 conv2"


@pytest.mark.parametrize(
    ("error", "shown"),
    [
        (FileNotFoundError(2, "No such file or directory", "a"), "a: no such file or"),
        (IsADirectoryError(21, "Is a directory", b"/x"), "/x: is a directory"),
        (
            PermissionError(13, "Permission denied", pathlib.Path("/x")),
            "/x: permission",
        ),
        (OSError(28, "No space left on device"), "No space left on device"),
        (OSError(9, "Bad file descriptor", 7), "7: bad file descriptor"),
        (ValueError("x ([Errno 5] Input/output error)"), "x (Input/output error)"),
        (OSError("the disk is full"), "the disk is full"),
    ],
)
@pytest.mark.parametrize("function", [errors.one_line, errors.first_line])
def test_an_error_of_the_operating_system_has_no_number(function, error, shown):
    assert function(error).startswith(shown)
    assert "Errno" not in function(error)
