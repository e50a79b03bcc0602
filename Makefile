# make demo   runs everything on the embedded images, in minutes
# make test   checks format, lint and types, and runs the tests
# make site   makes the documents a site: open build/site/index.html
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: setup demo test test-long wheel site clean

setup: $(VENV)/ready

# --no-build-isolation builds the ops against the TensorFlow that will load them.
# editable_mode=compat puts the path of this folder on sys.path. If Python is started
# beside a checkout of the same name, it finds that path before the folder; it would
# find setuptools' own finder only after it.
$(VENV)/ready: pyproject.toml constraints.txt setup.py $(shell find custom_ops -type f)
	@echo "Installing into $(VENV). This takes two to seven minutes and prints little."
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt 'tensorflow~=2.21.0' setuptools wheel
	$(BIN)/pip install --quiet --constraint constraints.txt --no-build-isolation \
	  --config-settings editable_mode=compat --editable '.[dev]'
	@test -e alexnet_tf/_alexnet_ops.so || echo "The op library was not built, and \
	TensorFlow's own operations take its place: install g++ and type make -B setup"
	@echo "Installed. To use it, type: . $(BIN)/activate"
	touch $@

demo: setup
	PATH="$(abspath $(BIN)):$$PATH" tools/demo.sh

test: setup
	PATH="$(abspath $(BIN)):$$PATH" tools/checks/all.sh

test-long: setup
	PATH="$(abspath $(BIN)):$$PATH" python -m pytest -m long

wheel: setup
	ALEXNET_TF_OPS=1 $(BIN)/python -m build --wheel --no-isolation

site: setup
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

clean:
	rm -rf build dist *.egg-info alexnet_tf/_alexnet_ops.so runs data $(VENV)
