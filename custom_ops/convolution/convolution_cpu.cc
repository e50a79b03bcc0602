// Copyright 2026 The alexnet_tf authors. Apache-2.0.
//
// First come the grid and the order of the work, which are the same for every
// instruction set. Then come the tiles: AMX's registers, or plain loops that do
// the same.

#include <algorithm>
#include <cstring>

#include "custom_ops/convolution/convolution.h"
#include "custom_ops/limits.h"

#if defined(ALEXNET_TF_AMX)
#include <immintrin.h>
// GCC 12 warns about operands that its own intrinsics leave undefined on
// purpose.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif

namespace alexnet_tf {
namespace {

// A tile has 16 rows of 64 bytes. It holds 16 x 16 float32 sums, or 16 channels
// at 32 positions of one of the factors.
constexpr std::int64_t kSide = 16;
constexpr std::int64_t kDepth = 32;
constexpr std::int64_t kSums = kSide * kSide;

// The number of positions at which two blocks of 32 channels fit the
// first-level cache.
constexpr std::int64_t kInnerPositions = 320;
// Images are packed in groups of this many bytes, half of a second-level cache.
constexpr std::int64_t kPackedBytes = 1 << 20;
// An image that takes more is more than any memory.
constexpr std::int64_t kMostImageBytes = std::int64_t{1} << 50;

std::int64_t RoundUp(std::int64_t value, std::int64_t unit) {
  return (value + unit - 1) / unit * unit;
}

// The positions of consecutive images, with zeros after every row and after
// every image. They serve as the padding behind one row or image and in front
// of the next.
struct Grid {
  explicit Grid(const ConvolutionShape& shape) {
    const std::int64_t padding =
        std::max(shape.padding_before, shape.padding_after);
    rows = std::max(shape.height + padding, shape.OutputHeight());
    columns = std::max(shape.width + padding, shape.OutputWidth());
  }
  std::int64_t Positions() const { return rows * columns; }

  std::int64_t rows, columns;
};

// Walks over the grid and returns each position's channels, or zeros.
class Walk {
 public:
  // `position` counts from the first position of image 0 and may be negative.
  Walk(const Grid& grid, const BFloat16* values, std::int64_t images,
       std::int64_t height, std::int64_t width, std::int64_t channels,
       const BFloat16* zeros, std::int64_t position)
      : grid_(grid),
        values_(values),
        images_(images),
        height_(height),
        width_(width),
        channels_(channels),
        zeros_(zeros) {
    const std::int64_t all = grid.Positions();
    image_ = position >= 0 ? position / all : -((all - 1 - position) / all);
    const std::int64_t inside = position - image_ * all;
    row_ = inside / grid.columns;
    column_ = inside % grid.columns;
  }

  const BFloat16* Next() {
    const bool inside =
        image_ >= 0 && image_ < images_ && row_ < height_ && column_ < width_;
    const BFloat16* at =
        inside ? values_ +
                     ((image_ * height_ + row_) * width_ + column_) * channels_
               : zeros_;
    if (++column_ == grid_.columns) {
      column_ = 0;
      if (++row_ == grid_.rows) {
        row_ = 0;
        ++image_;
      }
    }
    return at;
  }

 private:
  const Grid& grid_;
  const BFloat16* const values_;
  const std::int64_t images_, height_, width_, channels_;
  const BFloat16* const zeros_;
  std::int64_t image_, row_, column_;
};

// The order of values in the partial sums: the tiles of all kernel positions,
// then those of the next 16 channels, then those of the next 16 filters, and at
// the end the bias. A tile is [filters, channels].
struct SumLayout {
  explicit SumLayout(const ConvolutionShape& shape)
      : filter_tiles(RoundUp(shape.filters, kSide) / kSide),
        channel_tiles(RoundUp(shape.channels, kSide) / kSide),
        kernel_positions(shape.kernel_size * shape.kernel_size) {}

  std::int64_t Tile(std::int64_t filter_tile, std::int64_t channel_tile,
                    std::int64_t kernel_position) const {
    return ((filter_tile * channel_tiles + channel_tile) * kernel_positions +
            kernel_position) *
           kSums;
  }
  std::int64_t Bias() const { return Tile(filter_tiles, 0, 0); }
  std::int64_t Size() const { return Bias() + filter_tiles * kSide; }

  const std::int64_t filter_tiles, channel_tiles, kernel_positions;
};

// The order of packed values. dy is transposed: [filters, positions]. For x,
// pairs of positions are interleaved: [channels / 16, positions / 2, 16, 2].
// There are two copies of x, whose pairs begin at even and at odd positions, so
// that every kernel position finds its pairs.
struct PackedLayout {
  PackedLayout(const ConvolutionShape& shape, const Grid& grid,
               const SumLayout& sums, std::int64_t most_images)
      : filters(sums.filter_tiles * kSide),
        channels(sums.channel_tiles * kSide) {
    images = std::min(
        std::max<std::int64_t>(1, kPackedBytes / ImageBytes(grid, sums)),
        most_images);
    positions = RoundUp(images * grid.Positions(), kDepth);
    // An odd number of cache lines, so that rows do not compete for the same
    // places in the cache.
    row = RoundUp(positions, 2 * kDepth) + kDepth;
    const std::int64_t reach = (shape.kernel_size - 1) * (grid.columns + 1);
    panel = (positions + RoundUp(reach, 2)) * kSide;
    copy = sums.channel_tiles * panel;
    zeros = std::max(channels, filters);
  }

  // The bytes of an image in dy and in both copies of x.
  static std::int64_t ImageBytes(const Grid& grid, const SumLayout& sums) {
    return BoundedProduct({2 * sums.channel_tiles + sums.filter_tiles, kSide,
                           sizeof(BFloat16), grid.rows, grid.columns});
  }

  const std::int64_t filters, channels;  // rounded up to whole tiles
  std::int64_t images;                   // packed at a time
  std::int64_t positions;                // of these images
  std::int64_t row;                      // from one filter of dy to the next
  std::int64_t panel;                    // from 16 channels of x to the next
  std::int64_t copy;                     // from one copy of x to the other
  std::int64_t zeros;                    // for positions outside the images
};

// Takes `count` values from the scratch space, in whole lines of 64 bytes.
BFloat16* Take(std::int64_t count, BFloat16** scratch) {
  BFloat16* taken = *scratch;
  *scratch += RoundUp(count, kDepth);
  return taken;
}

// Packs groups of images, and passes blocks of them to Tiles::Multiply.
template <typename Tiles>
class Accumulator {
 public:
  // The shape must not be empty, and `most_images` must be at least 1.
  Accumulator(const ConvolutionShape& shape, std::int64_t most_images,
              BFloat16* scratch)
      : shape_(shape),
        grid_(shape),
        sum_layout_(shape),
        packed_(shape, grid_, sum_layout_, most_images),
        packed_dy_(Take(packed_.filters * packed_.row, &scratch)),
        packed_x_(Take(2 * packed_.copy, &scratch)),
        zeros_(Take(packed_.zeros, &scratch)) {
    std::memset(zeros_, 0, packed_.zeros * sizeof(BFloat16));
    // The last tile may have more rows than there are filters.
    std::memset(packed_dy_, 0,
                packed_.filters * packed_.row * sizeof(BFloat16));
  }

  void Add(const BFloat16* x, const BFloat16* dy, std::int64_t first,
           std::int64_t last, float* sums) {
    for (std::int64_t image = first; image < last; image += packed_.images) {
      PackOutputGradients(dy, image, std::min(image + packed_.images, last),
                          sums + sum_layout_.Bias());
      PackInputs(x, image);
      Multiply(sums);
    }
  }

 private:
  // Packs dy from image `first` on, and adds it to `bias`. Zeros follow image
  // `last` - 1, so that images of other parts do not count.
  void PackOutputGradients(const BFloat16* dy, std::int64_t first,
                           std::int64_t last, float* bias) {
    Walk walk(grid_, dy, last, shape_.OutputHeight(), shape_.OutputWidth(),
              shape_.filters, zeros_, first * grid_.Positions());
    for (std::int64_t k = 0; k < packed_.positions; k += kDepth) {
      const BFloat16* from[kDepth];
      for (const BFloat16*& at : from) at = walk.Next();
      tiles_.Transpose(from, shape_.filters, packed_dy_ + k, packed_.row, bias);
    }
  }

  // Packs x from the padding in front of image `first` on.
  void PackInputs(const BFloat16* x, std::int64_t first) {
    const std::int64_t lead = shape_.padding_before * (grid_.columns + 1);
    Walk walk(grid_, x, shape_.images, shape_.height, shape_.width,
              shape_.channels, zeros_, first * grid_.Positions() - lead);
    const BFloat16* even = walk.Next();
    for (BFloat16* to = packed_x_; to < packed_x_ + packed_.panel;
         to += 2 * kSide) {
      const BFloat16* odd = walk.Next();
      tiles_.Interleave(even, odd, shape_.channels, to, packed_.panel);
      even = walk.Next();
      tiles_.Interleave(odd, even, shape_.channels, to + packed_.copy,
                        packed_.panel);
    }
  }

  // Adds the products of the packed images to `sums`, in blocks of up to 2 x 2
  // tiles.
  void Multiply(float* sums) const {
    for (std::int64_t f = 0; f < sum_layout_.filter_tiles; f += 2) {
      for (std::int64_t c = 0; c < sum_layout_.channel_tiles; c += 2) {
        for (std::int64_t k = 0; k < packed_.positions; k += kInnerPositions) {
          MultiplyBlock(f, c, k, sums);
        }
      }
    }
  }

  // Adds the products of filter tiles `f` and channel tiles `c` at up to
  // kInnerPositions positions from `k` on, for every kernel position.
  void MultiplyBlock(std::int64_t f, std::int64_t c, std::int64_t k,
                     float* sums) const {
    const std::int64_t steps =
        std::min(kInnerPositions, packed_.positions - k) / kDepth;
    for (std::int64_t i = 0; i < sum_layout_.kernel_positions; ++i) {
      const std::int64_t row = i / shape_.kernel_size;
      const std::int64_t column = i % shape_.kernel_size;
      const std::int64_t at = k + row * grid_.columns + column;
      tiles_.Multiply(std::min<std::int64_t>(2, sum_layout_.filter_tiles - f),
                      std::min<std::int64_t>(2, sum_layout_.channel_tiles - c),
                      packed_dy_ + f * kSide * packed_.row + k, packed_.row,
                      packed_x_ + at % 2 * packed_.copy + c * packed_.panel +
                          at / 2 * 2 * kSide,
                      packed_.panel, steps, sums + sum_layout_.Tile(f, c, i),
                      sum_layout_.Tile(1, 0, 0), sum_layout_.Tile(0, 1, 0));
    }
  }

  const ConvolutionShape& shape_;
  const Grid grid_;
  const SumLayout sum_layout_;
  const PackedLayout packed_;
  BFloat16 *const packed_dy_, *const packed_x_, *const zeros_;
  const Tiles tiles_;
};

template <typename Tiles>
void Add(const ConvolutionShape& shape, const BFloat16* x, const BFloat16* dy,
         std::int64_t first, std::int64_t last, float* scratch, float* sums) {
  if (first == last || Grid(shape).Positions() == 0 || shape.filters == 0) {
    return;
  }
  Accumulator<Tiles>(shape, last - first, reinterpret_cast<BFloat16*>(scratch))
      .Add(x, dy, first, last, sums);
}

// Does what AmxTiles does, in plain loops.
struct PlainTiles {
  // A constant object needs a constructor.
  PlainTiles() {}

  // to[f][i] = from[i][f]; bias[f] += from[i][f].
  void Transpose(const BFloat16* const* from, std::int64_t filters,
                 BFloat16* to, std::int64_t row, float* bias) const {
    for (std::int64_t f = 0; f < filters; ++f) {
      for (std::int64_t i = 0; i < kDepth; ++i) {
        to[f * row + i] = from[i][f];
        bias[f] += Widen(from[i][f]);
      }
    }
  }

  // to[c / 16][c % 16] = {even[c], odd[c]}.
  void Interleave(const BFloat16* even, const BFloat16* odd,
                  std::int64_t channels, BFloat16* to,
                  std::int64_t panel) const {
    for (std::int64_t c = 0; c < RoundUp(channels, kSide); ++c) {
      const BFloat16 zero = {0};
      BFloat16* pair = to + c / kSide * panel + c % kSide * 2;
      pair[0] = c < channels ? even[c] : zero;
      pair[1] = c < channels ? odd[c] : zero;
    }
  }

  // Adds dy x^T of up to 2 x 2 tiles to the sums at their strides. If this were
  // inlined, the inner loop would run out of registers and be a quarter slower.
  __attribute__((noinline)) void Multiply(std::int64_t filter_tiles,
                                          std::int64_t channel_tiles,
                                          const BFloat16* dy, std::int64_t row,
                                          const BFloat16* x, std::int64_t panel,
                                          std::int64_t steps, float* sums,
                                          std::int64_t filter_stride,
                                          std::int64_t channel_stride) const {
    for (std::int64_t f = 0; f < filter_tiles * kSide; ++f) {
      for (std::int64_t c = 0; c < channel_tiles * kSide; ++c) {
        const BFloat16* pairs = x + c / kSide * panel + c % kSide * 2;
        float sum = 0;
        for (std::int64_t k = 0; k < steps * kDepth; ++k) {
          sum += Widen(dy[f * row + k]) * Widen(pairs[k / 2 * kDepth + k % 2]);
        }
        sums[f / kSide * filter_stride + c / kSide * channel_stride +
             f % kSide * kSide + c % kSide] += sum;
      }
    }
  }
};

#if defined(ALEXNET_TF_AMX)
#pragma GCC push_options
#pragma GCC target( \
    "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,amx-tile,amx-bf16")

class AmxTiles {
 public:
  // The tile configuration belongs to the thread. Other code, above all oneDNN,
  // may have set it and may rely on it, so the destructor restores it.
  AmxTiles() {
    static const Configuration kConfiguration = {
        1,
        0,
        {},
        {64, 64, 64, 64, 64, 64, 64, 64},
        {16, 16, 16, 16, 16, 16, 16, 16}};
    // GCC's intrinsics declare only 8 of the 64 bytes as read or written.
    asm volatile("sttilecfg %0" : "=m"(before_));
    asm volatile("ldtilecfg %0" : : "m"(kConfiguration));
  }
  ~AmxTiles() {
    if (before_.palette == 0) {
      _tile_release();
    } else {
      asm volatile("ldtilecfg %0" : : "m"(before_));
    }
  }
  AmxTiles(const AmxTiles&) = delete;
  AmxTiles& operator=(const AmxTiles&) = delete;

  void Transpose(const BFloat16* const* from, std::int64_t filters,
                 BFloat16* to, std::int64_t row, float* bias) const {
    for (std::int64_t f = 0; f < filters; f += kDepth) {
      const std::int64_t count = std::min(kDepth, filters - f);
      const __mmask32 mask =
          static_cast<__mmask32>((std::uint64_t{1} << count) - 1);
      BiasSums sums = {_mm512_setzero_ps(), _mm512_setzero_ps()};
      __m512i v[kDepth];
      for (int group = 0; group < 4; ++group) {
        TransposeGroup(from + 8 * group, f, mask, v + 8 * group, &sums);
      }
      StoreTransposed(v, count, to + f * row, row);
      AddBias(sums, count, bias + f);
    }
  }

  void Interleave(const BFloat16* even, const BFloat16* odd,
                  std::int64_t channels, BFloat16* to,
                  std::int64_t panel) const {
    for (std::int64_t c = 0; c < channels; c += kSide, to += panel) {
      const std::int64_t count = std::min(kSide, channels - c);
      const __mmask16 mask = static_cast<__mmask16>((1u << count) - 1);
      const __m512i low =
          _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(mask, even + c));
      const __m512i high =
          _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(mask, odd + c));
      _mm512_storeu_si512(to,
                          _mm512_or_si512(low, _mm512_slli_epi32(high, 16)));
    }
  }

  void Multiply(std::int64_t filter_tiles, std::int64_t channel_tiles,
                const BFloat16* dy, std::int64_t row, const BFloat16* x,
                std::int64_t panel, std::int64_t steps, float* sums,
                std::int64_t filter_stride, std::int64_t channel_stride) const {
    const auto block = filter_tiles == 2
                           ? channel_tiles == 2 ? Block<2, 2> : Block<2, 1>
                       : channel_tiles == 2 ? Block<1, 2>
                                            : Block<1, 1>;
    block(dy, row, x, panel, steps, sums, filter_stride, channel_stride);
  }

 private:
  struct alignas(64) Configuration {
    std::uint8_t palette;
    std::uint8_t start_row;
    std::uint8_t reserved[14];
    std::uint16_t bytes_per_row[16];
    std::uint8_t rows[16];
  };

  // In part l of 128 bits, `low` has filters 8 l to 8 l + 3, and `high` has
  // filters 8 l + 4 to 8 l + 7.
  struct BiasSums {
    __m512 low, high;
  };

  // Transposes 32 filters, from `f` on, at 8 positions: blocks of 8 x 8 within
  // 128 bits. In its part l, g[i] has filter 8 l + i at the 8 positions.
  static inline __attribute__((always_inline)) void TransposeGroup(
      const BFloat16* const* from, std::int64_t f, __mmask32 mask, __m512i* g,
      BiasSums* sums) {
    const __m512bh ones = (__m512bh)_mm512_set1_epi16(0x3f80);
    __m512i a[8], b[8];
    for (int i = 0; i < 8; ++i) {
      a[i] = _mm512_maskz_loadu_epi16(mask, from[i] + f);
    }
    for (int i = 0; i < 4; ++i) {
      b[2 * i] = _mm512_unpacklo_epi16(a[2 * i], a[2 * i + 1]);
      b[2 * i + 1] = _mm512_unpackhi_epi16(a[2 * i], a[2 * i + 1]);
      sums->low = _mm512_dpbf16_ps(sums->low, (__m512bh)b[2 * i], ones);
      sums->high = _mm512_dpbf16_ps(sums->high, (__m512bh)b[2 * i + 1], ones);
    }
    for (int i = 0; i < 2; ++i) {
      a[4 * i] = _mm512_unpacklo_epi32(b[4 * i], b[4 * i + 2]);
      a[4 * i + 1] = _mm512_unpackhi_epi32(b[4 * i], b[4 * i + 2]);
      a[4 * i + 2] = _mm512_unpacklo_epi32(b[4 * i + 1], b[4 * i + 3]);
      a[4 * i + 3] = _mm512_unpackhi_epi32(b[4 * i + 1], b[4 * i + 3]);
    }
    for (int i = 0; i < 4; ++i) {
      g[2 * i] = _mm512_unpacklo_epi64(a[i], a[i + 4]);
      g[2 * i + 1] = _mm512_unpackhi_epi64(a[i], a[i + 4]);
    }
  }

  // Exchanges the 128-bit parts of the four groups in `v`, so that each vector
  // has one filter at all 32 positions, and stores `count` filters.
  static inline __attribute__((always_inline)) void StoreTransposed(
      const __m512i* v, std::int64_t count, BFloat16* to, std::int64_t row) {
    for (int i = 0; i < 8; ++i) {
      const __m512i low01 = _mm512_shuffle_i64x2(v[i], v[8 + i], 0x44);
      const __m512i high01 = _mm512_shuffle_i64x2(v[i], v[8 + i], 0xee);
      const __m512i low23 = _mm512_shuffle_i64x2(v[16 + i], v[24 + i], 0x44);
      const __m512i high23 = _mm512_shuffle_i64x2(v[16 + i], v[24 + i], 0xee);
      const __m512i rows[4] = {_mm512_shuffle_i64x2(low01, low23, 0x88),
                               _mm512_shuffle_i64x2(low01, low23, 0xdd),
                               _mm512_shuffle_i64x2(high01, high23, 0x88),
                               _mm512_shuffle_i64x2(high01, high23, 0xdd)};
      for (int part = 0; part < 4; ++part) {
        const std::int64_t filter = 8 * part + i;
        if (filter < count) {
          _mm512_storeu_si512(to + filter * row, rows[part]);
        }
      }
    }
  }

  static inline __attribute__((always_inline)) void AddBias(
      const BiasSums& sums, std::int64_t count, float* bias) {
    alignas(64) float both[2][kSide];
    _mm512_store_ps(both[0], sums.low);
    _mm512_store_ps(both[1], sums.high);
    for (std::int64_t i = 0; i < count; ++i) {
      bias[i] += both[i / 4 % 2][i / 8 * 4 + i % 4];
    }
  }

  // Tiles 0 to 3 are sums, tiles 4 and 5 are of dy, and tiles 6 and 7 are of x.
  template <int kFilterTiles, int kChannelTiles>
  static void Block(const BFloat16* dy, std::int64_t row, const BFloat16* x,
                    std::int64_t panel, std::int64_t steps, float* sums,
                    std::int64_t filter_stride, std::int64_t channel_stride) {
    constexpr int kRow = 64;
    const std::int64_t dy_row = row * sizeof(BFloat16);
    const BFloat16* dy2 = dy + kSide * row;
    const BFloat16* x2 = x + panel;
    float* sums1 = sums + channel_stride;
    float* sums2 = sums + filter_stride;
    float* sums3 = sums2 + channel_stride;
    // The intrinsics do not declare that they read memory. This makes the
    // compiler write everything that they load beforehand.
    asm volatile("" : : : "memory");
    _tile_loadd(0, sums, kRow);
    if (kChannelTiles == 2) _tile_loadd(1, sums1, kRow);
    if (kFilterTiles == 2) _tile_loadd(2, sums2, kRow);
    if (kFilterTiles == 2 && kChannelTiles == 2) _tile_loadd(3, sums3, kRow);
    for (std::int64_t step = 0; step < steps; ++step) {
      _tile_loadd(6, x, kRow);
      _tile_loadd(4, dy, dy_row);
      _tile_dpbf16ps(0, 4, 6);
      if (kChannelTiles == 2) {
        _tile_loadd(7, x2, kRow);
        _tile_dpbf16ps(1, 4, 7);
      }
      if (kFilterTiles == 2) {
        _tile_loadd(5, dy2, dy_row);
        _tile_dpbf16ps(2, 5, 6);
      }
      if (kFilterTiles == 2 && kChannelTiles == 2) _tile_dpbf16ps(3, 5, 7);
      dy += kDepth;
      dy2 += kDepth;
      x += kDepth * kSide;
      x2 += kDepth * kSide;
    }
    _tile_stored(0, sums, kRow);
    if (kChannelTiles == 2) _tile_stored(1, sums1, kRow);
    if (kFilterTiles == 2) _tile_stored(2, sums2, kRow);
    if (kFilterTiles == 2 && kChannelTiles == 2) _tile_stored(3, sums3, kRow);
  }

  Configuration before_;
};

#pragma GCC pop_options
#endif  // ALEXNET_TF_AMX

}  // namespace

std::string ConvolutionError(int kernel_size, int padding_before,
                             int padding_after) {
  std::string error = ExtentError("kernel_size", 1, kernel_size);
  if (error.empty()) error = ExtentError("padding_before", 0, padding_before);
  if (error.empty()) error = ExtentError("padding_after", 0, padding_after);
  return error;
}

std::int64_t WeightGradientScratch(const ConvolutionShape& shape,
                                   std::int64_t most_images) {
  const Grid grid(shape);
  const SumLayout sums(shape);
  const std::int64_t image_bytes = PackedLayout::ImageBytes(grid, sums);
  if (image_bytes == 0) return 0;
  // Images of fewer bytes overflow nothing.
  if (image_bytes > kMostImageBytes) return std::int64_t{1} << 62;
  const PackedLayout packed(shape, grid, sums, most_images);
  const std::int64_t values = RoundUp(packed.filters * packed.row, kDepth) +
                              RoundUp(2 * packed.copy, kDepth) +
                              RoundUp(packed.zeros, kDepth);
  return values * sizeof(BFloat16) / sizeof(float);
}

std::int64_t WeightGradientBlocks(const ConvolutionShape& shape) {
  const SumLayout layout(shape);
  return layout.kernel_positions * layout.channel_tiles;
}

std::size_t WeightGradientSums(const ConvolutionShape& shape) {
  return SumLayout(shape).Size();
}

void AddWeightGradients(Isa isa, const ConvolutionShape& shape,
                        const BFloat16* x, const BFloat16* dy,
                        std::int64_t first, std::int64_t last, float* scratch,
                        float* sums) {
#if defined(ALEXNET_TF_AMX)
  if (isa == Isa::kAmxBf16) {
    return Add<AmxTiles>(shape, x, dy, first, last, scratch, sums);
  }
#else
  static_cast<void>(isa);
#endif
  Add<PlainTiles>(shape, x, dy, first, last, scratch, sums);
}

void FinishWeightGradients(const ConvolutionShape& shape, const float* sums,
                           std::int64_t parts, std::int64_t first,
                           std::int64_t last, BFloat16* kernel_gradient) {
  const SumLayout layout(shape);
  for (std::int64_t block = first; block < last; ++block) {
    const std::int64_t kernel_position = block / layout.channel_tiles;
    const std::int64_t c = block % layout.channel_tiles * kSide;
    const std::int64_t channels = std::min(kSide, shape.channels - c);
    BFloat16* own = kernel_gradient +
                    (kernel_position * shape.channels + c) * shape.filters;
    for (std::int64_t f = 0; f < shape.filters; f += kSide, own += kSide) {
      float tile[kSums] = {};
      for (std::int64_t part = 0; part < parts; ++part) {
        const float* from = sums + part * layout.Size() +
                            layout.Tile(f / kSide, c / kSide, kernel_position);
        for (std::int64_t i = 0; i < kSums; ++i) tile[i] += from[i];
      }
      const std::int64_t filters = std::min(kSide, shape.filters - f);
      for (std::int64_t i = 0; i < channels; ++i) {
        for (std::int64_t j = 0; j < filters; ++j) {
          Narrow(tile[j * kSide + i], own + i * shape.filters + j);
        }
      }
    }
  }
}

void FinishBiasGradients(const ConvolutionShape& shape, const float* sums,
                         std::int64_t parts, BFloat16* bias_gradient) {
  const SumLayout layout(shape);
  for (std::int64_t f = 0; f < shape.filters; ++f) {
    float sum = 0;
    for (std::int64_t part = 0; part < parts; ++part) {
      sum += sums[part * layout.Size() + layout.Bias() + f];
    }
    Narrow(sum, bias_gradient + f);
  }
}

}  // namespace alexnet_tf
