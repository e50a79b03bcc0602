// Copyright 2026 The alexnet_tf authors. Apache-2.0.
//
// Sums over squares are sums over columns of sums over rows. A picture is read
// once, row by row, and what the window needs of it is kept in rings of rows,
// which fit the second cache. The compiler vectorises along the channels.

#include <algorithm>
#include <cmath>
#include <cstring>

#include "custom_ops/spatial/spatial.h"

namespace alexnet_tf {
namespace {

// Rows of `length` floats, of which the last `count` are kept.
class Ring {
 public:
  Ring(float* memory, int64_t count, int64_t length)
      : memory_(memory), count_(count), length_(length) {}
  float* operator[](int64_t row) const {
    return memory_ + row % count_ * length_;
  }

 private:
  float* memory_;
  int64_t count_;
  int64_t length_;
};

// sums[i] = term(0)[i] + ... + term(kTerms - 1)[i], left to right.
template <int kTerms, typename Term>
inline void SumFew(Term term, int64_t length, float* __restrict sums) {
  const float* terms[kTerms];
  for (int t = 0; t < kTerms; ++t) terms[t] = term(t);
  for (int64_t i = 0; i < length; ++i) {
    float sum = terms[0][i];
    for (int t = 1; t < kTerms; ++t) sum += terms[t][i];
    sums[i] = sum;
  }
}

// The same of `count` terms; one pass where they are no more than the window
// of 2012 has.
template <typename Term>
inline void Sum(Term term, int64_t count, int64_t length,
                float* __restrict sums) {
  switch (count) {
    case 1:
      return SumFew<1>(term, length, sums);
    case 2:
      return SumFew<2>(term, length, sums);
    case 3:
      return SumFew<3>(term, length, sums);
    case 4:
      return SumFew<4>(term, length, sums);
  }
  SumFew<5>(term, length, sums);
  for (int64_t t = 5; t < count; ++t) {
    const float* __restrict values = term(t);
    for (int64_t i = 0; i < length; ++i) sums[i] += values[i];
  }
}

class Picture {
 public:
  Picture(const SpatialParams& params, const SpatialShape& shape)
      : params_(params),
        shape_(shape),
        half_(params.size / 2),
        length_(shape.width * shape.channels) {}

  std::size_t Scratch() const {
    return (2 * params_.size + half_ + 1 + 1) * length_;
  }

  template <typename T>
  void Forward(const T* x, float* scratch, T* y) const {
    const Ring squares(Take(&scratch, params_.size), params_.size, length_);
    float* line = Take(&scratch, 1);
    int64_t next = 0;
    for (int64_t row = 0; row < shape_.height; ++row) {
      SquaresUpTo(row + half_, x, &next, line, squares);
      SumRows(squares, row, line);
      const T* x_row = x + row * length_;
      T* y_row = y + row * length_;
      WithPower([&](auto power) {
        for (int64_t i = 0; i < length_; ++i) {
          const float inverse = 1 / (params_.k + params_.alpha * line[i]);
          Narrow(Widen(x_row[i]) * power(inverse), &y_row[i]);
        }
      });
    }
  }

  // dx = dy * s^-beta - 2 alpha beta x * (sum of dy * x * s^(-beta - 1)), with
  // s of each position its own; the sum trails by half a window.
  template <typename T>
  void Gradient(const T* dy, const T* x, float* scratch, T* dx) const {
    const Ring squares(Take(&scratch, params_.size), params_.size, length_);
    const Ring pulls(Take(&scratch, params_.size), params_.size, length_);
    const Ring direct(Take(&scratch, half_ + 1), half_ + 1, length_);
    float* line = Take(&scratch, 1);
    const float factor = 2 * params_.alpha * params_.beta;
    int64_t next = 0;
    for (int64_t row = 0; row < shape_.height + half_; ++row) {
      if (row < shape_.height) {
        SquaresUpTo(row + half_, x, &next, line, squares);
        SumRows(squares, row, line);
        const T* dy_row = dy + row * length_;
        const T* x_row = x + row * length_;
        float* direct_row = direct[row];
        WithPower([&](auto power) {
          for (int64_t i = 0; i < length_; ++i) {
            const float inverse = 1 / (params_.k + params_.alpha * line[i]);
            const float scaled = Widen(dy_row[i]) * power(inverse);
            direct_row[i] = scaled;
            line[i] = scaled * Widen(x_row[i]) * inverse;
          }
        });
        SumColumns(line, pulls[row]);
      }
      const int64_t done = row - half_;
      if (done < 0) continue;
      SumRows(pulls, done, line);
      const T* x_row = x + done * length_;
      const float* direct_row = direct[done];
      T* dx_row = dx + done * length_;
      for (int64_t i = 0; i < length_; ++i) {
        Narrow(direct_row[i] - factor * Widen(x_row[i]) * line[i], &dx_row[i]);
      }
    }
  }

 private:
  float* Take(float** scratch, int64_t rows) const {
    float* taken = *scratch;
    *scratch += rows * length_;
    return taken;
  }

  // Calls `work` with r -> r^beta; square roots for the exponent of 2012.
  template <typename Work>
  void WithPower(Work work) const {
    const float beta = params_.beta;
    if (beta == 0.75f) {
      work([](float r) {
        const float root = std::sqrt(r);
        return root * std::sqrt(root);
      });
    } else {
      work([beta](float r) { return std::pow(r, beta); });
    }
  }

  // Sums over `size` columns of x^2, of every row up to `last` that is not in
  // the ring.
  template <typename T>
  void SquaresUpTo(int64_t last, const T* x, int64_t* next, float* line,
                   const Ring& squares) const {
    for (; *next <= std::min(last, shape_.height - 1); ++*next) {
      const T* row = x + *next * length_;
      for (int64_t i = 0; i < length_; ++i) {
        const float value = Widen(row[i]);
        line[i] = value * value;
      }
      SumColumns(line, squares[*next]);
    }
  }

  void SumColumns(const float* values, float* sums) const {
    const int64_t channels = shape_.channels;
    for (int64_t column = 0; column < shape_.width; ++column) {
      const int64_t first = std::max<int64_t>(column - half_, 0);
      const int64_t last = std::min(column + half_, shape_.width - 1);
      const auto term = [=](int64_t i) {
        return values + (first + i) * channels;
      };
      Sum(term, last - first + 1, channels, sums + column * channels);
    }
  }

  void SumRows(const Ring& rows, int64_t row, float* sums) const {
    const int64_t first = std::max<int64_t>(row - half_, 0);
    const int64_t last = std::min(row + half_, shape_.height - 1);
    const auto term = [=](int64_t i) { return rows[first + i]; };
    Sum(term, last - first + 1, length_, sums);
  }

  const SpatialParams params_;
  const SpatialShape shape_;
  const int64_t half_;
  const int64_t length_;
};

}  // namespace

std::size_t SpatialScratch(const SpatialParams& params,
                           const SpatialShape& shape) {
  return Picture(params, shape).Scratch();
}

void SpatialForward(const SpatialParams& params, const SpatialShape& shape,
                    const float* x, float* scratch, float* y) {
  Picture(params, shape).Forward(x, scratch, y);
}

void SpatialForward(const SpatialParams& params, const SpatialShape& shape,
                    const BFloat16* x, float* scratch, BFloat16* y) {
  Picture(params, shape).Forward(x, scratch, y);
}

void SpatialGradient(const SpatialParams& params, const SpatialShape& shape,
                     const float* dy, const float* x, float* scratch,
                     float* dx) {
  Picture(params, shape).Gradient(dy, x, scratch, dx);
}

void SpatialGradient(const SpatialParams& params, const SpatialShape& shape,
                     const BFloat16* dy, const BFloat16* x, float* scratch,
                     BFloat16* dx) {
  Picture(params, shape).Gradient(dy, x, scratch, dx);
}

}  // namespace alexnet_tf
