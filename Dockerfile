# bimors on CPUs.
#   docker build -t bimors .
#   docker run --rm --network none --user "$(id -u)" -e HOME=/tmp -v "$PWD:/data" bimors classify scene.tif --labels labels.txt -o out.gpkg
FROM python:3.12-slim-bookworm AS build
WORKDIR /src
COPY . .
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /dist .

FROM python:3.12-slim-bookworm
# Wheels bring GDAL, PROJ and GEOS; numpy, torch and faiss bring OpenMP.
COPY --from=build /dist /dist
# The CPU builds of PyTorch first, which are a tenth of those for CUDA.
RUN pip install --no-cache-dir --index-url https://download.pytorch.org/whl/cpu "torch>=2.4" "torchvision>=0.19" \
    && pip install --no-cache-dir /dist/*.whl \
    && rm -r /dist
RUN useradd --create-home --uid 1000 bimors \
    && mkdir /data \
    && chown bimors /data
USER 1000:1000
WORKDIR /data
ENTRYPOINT ["bimors"]
CMD ["--help"]
