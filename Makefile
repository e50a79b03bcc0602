# make demo   everything, on the embedded pictures, in minutes
# make test   format, lint, types, tests
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: setup demo test test-long wheel clean

setup: $(VENV)/ready

# --no-build-isolation: the op is built against the TensorFlow that will load it.
# editable_mode=compat: a path, which Python started beside a checkout of this name finds
# before that folder, where setuptools' finder would come after it.
$(VENV)/ready: pyproject.toml constraints.txt setup.py $(wildcard custom_ops/*.* custom_ops/*/*)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt 'tensorflow~=2.21.0' setuptools wheel
	$(BIN)/pip install --quiet --constraint constraints.txt --no-build-isolation \
	  --config-settings editable_mode=compat --editable '.[dev]'
	touch $@

demo: setup
	PATH="$(abspath $(BIN)):$$PATH" tools/demo.sh

test: setup
	PATH="$(abspath $(BIN)):$$PATH" tools/checks/all.sh

test-long: setup
	PATH="$(abspath $(BIN)):$$PATH" python -m pytest -m long

wheel: setup
	$(BIN)/python -m build --wheel --no-isolation

clean:
	rm -rf build dist *.egg-info alexnet_tf/_alexnet_ops.so runs data $(VENV)
