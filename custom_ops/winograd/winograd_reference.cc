// Copyright 2026 The alexnet_tf authors. Apache-2.0.
//
// A transformation is linear, so it is written as the list of its terms: which
// value of a tile takes which value of an image, and with which factor.

#include <algorithm>
#include <cstdint>
#include <vector>

#include "custom_ops/winograd/winograd.h"

namespace alexnet_tf {
namespace {

using Matrix = std::vector<std::vector<double>>;

// The finite points of tiles of t x t.
std::vector<double> Points(int t) {
  const std::vector<double> all = {0, 1, -1, 2, -2, 0.5, -0.5};
  return {all.begin(), all.begin() + t - 1};
}

// The coefficients of the product of (z - root), lowest power first.
std::vector<double> Polynomial(const std::vector<double>& roots) {
  std::vector<double> product = {1};
  for (double root : roots) {
    product.insert(product.begin(), 0);  // times z
    for (std::size_t i = 0; i + 1 < product.size(); ++i) {
      product[i] -= root * product[i + 1];
    }
  }
  return product;
}

// B^T of winograd.h.
Matrix InputMatrix(int t) {
  Matrix matrix;
  for (int row = 0; row < t; ++row) {
    std::vector<double> others = Points(t);
    if (row < t - 1) others.erase(others.begin() + row);
    matrix.push_back(Polynomial(others));
    matrix.back().resize(t);
  }
  return matrix;
}

// A of winograd.h.
Matrix OutputMatrix(int t, int outputs) {
  Matrix matrix;
  for (double point : Points(t)) {
    std::vector<double> powers = {1};
    while (int(powers.size()) < outputs) {
      powers.push_back(powers.back() * point);
    }
    matrix.push_back(powers);
  }
  matrix.push_back(std::vector<double>(outputs));
  matrix.back().back() = 1;
  return matrix;
}

// Calls add(index in the tiles, index in the images, factor) for every term.
template <typename Add>
void ForEachTerm(const WinogradParams& params, const WinogradShape& s,
                 Add add) {
  const bool input = params.side == WinogradSide::kInput;
  const int t = params.outputs + params.kernel_size - 1;
  const Matrix matrix =
      input ? InputMatrix(t) : OutputMatrix(t, params.outputs);
  const int side = input ? t : params.outputs;
  const int before = input ? params.padding_before : 0;
  const int grow =
      input ? before + params.padding_after - t + params.outputs : 0;
  const std::int64_t step = params.outputs;
  const std::int64_t rows = (s.height + grow + step - 1) / step;
  const std::int64_t columns = (s.width + grow + step - 1) / step;
  if (rows <= 0 || columns <= 0) return;
  const std::int64_t tiles = s.images * rows * columns;
  for (std::int64_t tile = 0; tile < tiles; ++tile) {
    const std::int64_t image = tile / columns / rows;
    const std::int64_t top = tile / columns % rows * step - before;
    const std::int64_t left = tile % columns * step - before;
    for (int place = 0; place < t * t; ++place) {
      for (int from = 0; from < side * side; ++from) {
        const std::int64_t y = top + from / side, x = left + from % side;
        if (y < 0 || y >= s.height || x < 0 || x >= s.width) continue;
        for (std::int64_t c = 0; c < s.channels; ++c) {
          add((place * tiles + tile) * s.channels + c,
              ((image * s.height + y) * s.width + x) * s.channels + c,
              matrix[place / t][from / side] * matrix[place % t][from % side]);
        }
      }
    }
  }
}

}  // namespace

void WinogradReferenceToTiles(const WinogradParams& params,
                              const WinogradShape& shape, const double* images,
                              double* tiles) {
  std::fill_n(tiles,
              WinogradPlaces(params) * shape.images *
                  WinogradTiles(params, shape) * shape.channels,
              0.0);
  ForEachTerm(params, shape,
              [=](std::int64_t i, std::int64_t j, double factor) {
                tiles[i] += factor * images[j];
              });
}

void WinogradReferenceFromTiles(const WinogradParams& params,
                                const WinogradShape& shape, const double* tiles,
                                double* images) {
  std::fill_n(images,
              shape.images * shape.height * shape.width * shape.channels, 0.0);
  ForEachTerm(params, shape,
              [=](std::int64_t i, std::int64_t j, double factor) {
                images[j] += factor * tiles[i];
              });
}

}  // namespace alexnet_tf
