# make demo: run the example.   make test: run the quick tests.   make test-all: run what CI runs.
# All create .venv first.
PYTHON ?= python3
BIN := .venv/bin
# Tests that run side by side. A file stays in one process: its fixtures are made once.
JOBS ?= 2
QUICK := not slow and not gpu

.PHONY: demo test test-all lint test-slow test-gpu test-qgis qgis-plugin docs pictures fuzz checksums licences models sbom audit sign dist-check clean

.venv/installed: pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "bimors needs Python 3.11 or newer: make PYTHON=python3.12 demo")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	touch $@

.venv/installed-test: .venv/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test]'
	touch $@

demo: .venv/installed
	$(BIN)/bimors classify examples/scene.tif --labels examples/labels.txt --tile-size 64 -o out.gpkg --overwrite
	$(BIN)/bimors preview out.gpkg -o out.png --overwrite
	@echo
	@echo "Open out.png, or open the map in QGIS: drag out.gpkg onto its window, or run"
	@echo "    qgis examples/scene.tif out.gpkg"
	@echo "The layer opens coloured. To put bimors on the PATH: . $(BIN)/activate"

# Two processes with as many threads of torch and numpy as processors: threads that spin while they wait take the
# processors from those that work. With this, small models are several times as fast on a busy machine.
test test-all: export OMP_WAIT_POLICY = PASSIVE
test test-all: export OPENBLAS_NUM_THREADS = 1
# The quick tests use small models, for which one thread each costs the least. test-all uses torch's own number.
test: export OMP_NUM_THREADS = 1
test: .venv/installed-test lint
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile -m "$(QUICK) and not long and not serial"

# All tests of make test, those that take long, then alone those that start a Ray cluster.
test-all: .venv/installed-test lint
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile -m "$(QUICK) and not serial"
	$(BIN)/python -m pytest -m "$(QUICK) and serial"

lint: .venv/installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test-slow: .venv/installed-test
	$(BIN)/python -m pytest -m slow

test-gpu: .venv/installed-test
	$(BIN)/python -m pytest -m gpu

test-qgis: .venv/installed-test
	$(BIN)/python -m pytest -m "qgis and not slow"

# Install it in QGIS with Plugins > Manage and Install Plugins > Install from ZIP.
qgis-plugin:
	$(PYTHON) examples/qgis/pack.py dist/bimors-qgis.zip
	@echo dist/bimors-qgis.zip

.venv/installed-docs: .venv/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[docs]'
	touch $@

# Builds the site in build/site: open build/site/index.html. Warnings are errors, broken links and anchors among them.
docs: .venv/installed-docs
	rm -rf build/site
	$(BIN)/python -m docs.reference build/site-sources
	$(BIN)/python -m sphinx --fail-on-warning --keep-going --quiet -j auto -c docs build/site-sources build/site
	@echo build/site/index.html

# Recreates the images of the documentation; needs ogr2ogr, Chromium and QGIS, as .ci/run installs them.
pictures: .venv/installed
	$(BIN)/python -m docs.make_images
	$(BIN)/python -m docs.make_gallery

# Takes minutes. FUZZ is the number of examples per test; `make test` uses 60.
FUZZ ?= 5000
fuzz: .venv/installed-test
	BIMORS_FUZZ=$(FUZZ) $(BIN)/python -m pytest tests/hardening/test_fuzz.py --timeout=3600

checksums: .venv/installed
	$(BIN)/python -m release.checksums

# Lists what is installed in .venv: recreate it first (make clean) for the newest versions.
licences: .venv/installed
	$(BIN)/python -m release.licences

models: .venv/installed
	$(BIN)/python -m release.models

sbom: .venv/installed
	$(BIN)/python -m release.sbom

# Fails if a dependency as installed in .venv has a known vulnerability. Needs the network; AUDIT takes options of
# pip-audit, for example the address of a mirror of OSV.
audit: .venv/installed
	$(PYTHON) -m venv build/audit
	build/audit/bin/python -m pip install --quiet --disable-pip-version-check 'pip-audit>=2.7'
	$(BIN)/python -m release.pins > build/audit/pins.txt
	build/audit/bin/pip-audit --strict --no-deps --disable-pip --requirement build/audit/pins.txt $(AUDIT)

# For maintainers: make sign KEY=FILE signs the checksums with an SSH key. A release carries both files; neither the
# key nor a signature is in the repository.
SIGNED ?= dist
sign:
	@test -n "$(KEY)" || { echo 'Give the private SSH key that signs: make sign KEY=~/.ssh/id_ed25519' >&2; exit 2; }
	cd weights && sha256sum --check --strict --quiet SHA256SUMS
	mkdir -p $(SIGNED)
	rm -f $(SIGNED)/SHA256SUMS.sig
	cp weights/SHA256SUMS $(SIGNED)/SHA256SUMS
	ssh-keygen -Y sign -f $(KEY) -n file $(SIGNED)/SHA256SUMS

# Builds wheel and sdist, and tries the wheel in an environment that has nothing else. Needs the network.
dist-check:
	rm -rf build/tools build/clean dist/bimors_cli-*
	$(PYTHON) -m venv build/tools
	build/tools/bin/python -m pip install --quiet --disable-pip-version-check 'build>=1.2' 'twine>=6.1'
	build/tools/bin/python -m build --outdir dist
	build/tools/bin/python -m twine check --strict dist/bimors_cli-*
	$(PYTHON) -m venv build/clean
	build/clean/bin/python -m pip install --quiet --disable-pip-version-check dist/bimors_cli-*.whl
	cd build && env -u PYTHONPATH clean/bin/bimors --version && env -u PYTHONPATH clean/bin/bimors doctor

clean:
	rm -rf .venv out.gpkg out.png .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
