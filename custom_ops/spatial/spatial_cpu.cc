// Copyright 2026 The alexnet_tf authors. Apache-2.0.
//
// The sum over a square is a sum over its rows of sums over columns. An image
// is read once, row by row. Ring buffers keep the rows that the window still
// needs, and they fit the second-level cache. The compiler vectorizes along the
// channels.

#include <algorithm>
#include <cmath>
#include <cstring>

#include "custom_ops/spatial/spatial.h"

namespace alexnet_tf {
namespace {

// A ring buffer that keeps the last `count` rows of `length` floats.
class Ring {
 public:
  Ring(float* memory, std::int64_t count, std::int64_t length)
      : memory_(memory), count_(count), length_(length) {}
  float* operator[](std::int64_t row) const {
    return memory_ + row % count_ * length_;
  }

 private:
  float* memory_;
  std::int64_t count_;
  std::int64_t length_;
};

// sums[i] = term(0)[i] + ... + term(kTerms - 1)[i], left to right.
template <int kTerms, typename Term>
inline void SumFew(Term term, std::int64_t length, float* __restrict sums) {
  const float* terms[kTerms];
  for (int t = 0; t < kTerms; ++t) terms[t] = term(t);
  for (std::int64_t i = 0; i < length; ++i) {
    float sum = terms[0][i];
    for (int t = 1; t < kTerms; ++t) sum += terms[t][i];
    sums[i] = sum;
  }
}

// The same for `count` terms. Up to five terms, the size of the 2012 program's
// window, are added in one pass.
template <typename Term>
inline void Sum(Term term, std::int64_t count, std::int64_t length,
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
  for (std::int64_t t = 5; t < count; ++t) {
    const float* __restrict values = term(t);
    for (std::int64_t i = 0; i < length; ++i) sums[i] += values[i];
  }
}

class Image {
 public:
  Image(const SpatialParams& params, const SpatialShape& shape)
      : params_(params),
        shape_(shape),
        half_rows_(Half(params, shape.height)),
        half_columns_(Half(params, shape.width)),
        kept_(2 * half_rows_ + 1),
        length_(shape.width * shape.channels) {}

  std::size_t Scratch() const {
    return (2 * kept_ + half_rows_ + 1 + 1) * length_;
  }

  template <typename T>
  void Forward(const T* x, float* scratch, T* y) const {
    const Ring squares(Take(&scratch, kept_), kept_, length_);
    float* line = Take(&scratch, 1);
    std::int64_t next = 0;
    for (std::int64_t row = 0; row < shape_.height; ++row) {
      AddSquaresUpTo(row + half_rows_, x, &next, line, squares);
      SumRows(squares, row, line);
      const T* x_row = x + row * length_;
      T* y_row = y + row * length_;
      WithPower([&](auto power) {
        for (std::int64_t i = 0; i < length_; ++i) {
          const float inverse = 1 / (params_.k + params_.alpha * line[i]);
          Narrow(Widen(x_row[i]) * power(inverse), &y_row[i]);
        }
      });
    }
  }

  // `direct` holds dy * s^-beta, and `pulls` the terms of the second sum. That
  // sum trails by half a window, because it needs `pulls` of later rows.
  template <typename T>
  void Gradient(const T* dy, const T* x, float* scratch, T* dx) const {
    const Ring squares(Take(&scratch, kept_), kept_, length_);
    const Ring pulls(Take(&scratch, kept_), kept_, length_);
    const Ring direct(Take(&scratch, half_rows_ + 1), half_rows_ + 1, length_);
    float* line = Take(&scratch, 1);
    std::int64_t next = 0;
    for (std::int64_t row = 0; row < shape_.height + half_rows_; ++row) {
      if (row < shape_.height) {
        AddSquaresUpTo(row + half_rows_, x, &next, line, squares);
        SumRows(squares, row, line);
        ComputePull(dy + row * length_, x + row * length_, line, direct[row]);
        SumColumns(line, pulls[row]);
      }
      const std::int64_t done = row - half_rows_;
      if (done < 0) continue;
      SumRows(pulls, done, line);
      FinishGradient(direct[done], x + done * length_, line,
                     dx + done * length_);
    }
  }

 private:
  // Half of a window along a side of this length. A window that is larger than
  // the image is the whole image.
  static std::int64_t Half(const SpatialParams& params, std::int64_t length) {
    return std::max<std::int64_t>(
        0, std::min<std::int64_t>(params.size / 2, length - 1));
  }

  float* Take(float** scratch, std::int64_t rows) const {
    float* taken = *scratch;
    *scratch += rows * length_;
    return taken;
  }

  // From s in `line`, computes `direct` and replaces `line` by the terms of the
  // second sum.
  template <typename T>
  void ComputePull(const T* dy, const T* x, float* line, float* direct) const {
    WithPower([&](auto power) {
      for (std::int64_t i = 0; i < length_; ++i) {
        const float inverse = 1 / (params_.k + params_.alpha * line[i]);
        const float scaled = Widen(dy[i]) * power(inverse);
        direct[i] = scaled;
        line[i] = scaled * Widen(x[i]) * inverse;
      }
    });
  }

  template <typename T>
  void FinishGradient(const float* direct, const T* x, const float* pulled,
                      T* dx) const {
    // In double precision, because 2 * alpha may overflow.
    const float factor = 2.0 * params_.alpha * params_.beta;
    for (std::int64_t i = 0; i < length_; ++i) {
      Narrow(direct[i] - factor * Widen(x[i]) * pulled[i], &dx[i]);
    }
  }

  // Calls `work` with the function r -> r^beta. For the 2012 program's exponent
  // it takes square roots.
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

  // Adds rows to the ring of squares, up to row `last`: the sums of x^2 over
  // `size` columns. `next` is the first row that the ring lacks.
  template <typename T>
  void AddSquaresUpTo(std::int64_t last, const T* x, std::int64_t* next,
                      float* line, const Ring& squares) const {
    for (; *next <= std::min(last, shape_.height - 1); ++*next) {
      const T* row = x + *next * length_;
      for (std::int64_t i = 0; i < length_; ++i) {
        const float value = Widen(row[i]);
        line[i] = value * value;
      }
      SumColumns(line, squares[*next]);
    }
  }

  void SumColumns(const float* values, float* sums) const {
    const std::int64_t channels = shape_.channels;
    for (std::int64_t column = 0; column < shape_.width; ++column) {
      const std::int64_t first =
          std::max<std::int64_t>(column - half_columns_, 0);
      const std::int64_t last =
          std::min(column + half_columns_, shape_.width - 1);
      const auto term = [=](std::int64_t i) {
        return values + (first + i) * channels;
      };
      Sum(term, last - first + 1, channels, sums + column * channels);
    }
  }

  void SumRows(const Ring& rows, std::int64_t row, float* sums) const {
    const std::int64_t first = std::max<std::int64_t>(row - half_rows_, 0);
    const std::int64_t last = std::min(row + half_rows_, shape_.height - 1);
    const auto term = [=](std::int64_t i) { return rows[first + i]; };
    Sum(term, last - first + 1, length_, sums);
  }

  const SpatialParams params_;
  const SpatialShape shape_;
  const std::int64_t half_rows_, half_columns_;
  const std::int64_t kept_;  // rows of a window
  const std::int64_t length_;
};

}  // namespace

std::size_t SpatialScratch(const SpatialParams& params,
                           const SpatialShape& shape) {
  return Image(params, shape).Scratch();
}

void SpatialForward(const SpatialParams& params, const SpatialShape& shape,
                    const float* x, float* scratch, float* y) {
  Image(params, shape).Forward(x, scratch, y);
}

void SpatialForward(const SpatialParams& params, const SpatialShape& shape,
                    const BFloat16* x, float* scratch, BFloat16* y) {
  Image(params, shape).Forward(x, scratch, y);
}

void SpatialGradient(const SpatialParams& params, const SpatialShape& shape,
                     const float* dy, const float* x, float* scratch,
                     float* dx) {
  Image(params, shape).Gradient(dy, x, scratch, dx);
}

void SpatialGradient(const SpatialParams& params, const SpatialShape& shape,
                     const BFloat16* dy, const BFloat16* x, float* scratch,
                     BFloat16* dx) {
  Image(params, shape).Gradient(dy, x, scratch, dx);
}

}  // namespace alexnet_tf
