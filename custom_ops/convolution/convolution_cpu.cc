// Copyright 2026 The alexnet_tf authors. Apache-2.0.
//
// First the grid and the order of the work, the same everywhere; then what a
// tile is: AMX's registers, or loops that do what those do.

#include <algorithm>
#include <cstring>
#include <new>

#include "custom_ops/convolution/convolution.h"

#if defined(ALEXNET_TF_AMX)
#include <immintrin.h>
// GCC 12 takes the deliberately undefined operands in its own intrinsics for
// mistakes of ours.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif

namespace alexnet_tf {
namespace {

// A tile has 16 rows of 64 bytes: 16 x 16 float32 sums, and of either factor 16
// channels by 32 positions.
constexpr std::int64_t kSide = 16;
constexpr std::int64_t kDepth = 32;
constexpr std::int64_t kSums = kSide * kSide;

// Of two blocks of 32 channels as many positions as the first cache holds.
constexpr std::int64_t kInnerPositions = 320;
// Bytes of the packed pictures that are worked on at a time: half a second
// cache.
constexpr std::int64_t kPackedBytes = 1 << 20;

std::int64_t RoundUp(std::int64_t value, std::int64_t unit) {
  return (value + unit - 1) / unit * unit;
}

// Positions of pictures in a row, with zeros between their rows and between
// them, that stand for those in front of the next and behind the last.
struct Grid {
  explicit Grid(const ConvolutionShape& shape) {
    const std::int64_t zeros = std::max(shape.before, shape.after);
    rows = std::max(shape.height + zeros, shape.OutputHeight());
    columns = std::max(shape.width + zeros, shape.OutputWidth());
  }
  std::int64_t Positions() const { return rows * columns; }

  std::int64_t rows, columns;
};

// Walks over the grid and gives each position's channels, or zeros.
class Walk {
 public:
  // `position` counts from the first of picture 0 and may be negative.
  Walk(const Grid& grid, const BFloat16* values, std::int64_t pictures,
       std::int64_t height, std::int64_t width, std::int64_t channels,
       const BFloat16* zeros, std::int64_t position)
      : grid_(grid),
        values_(values),
        pictures_(pictures),
        height_(height),
        width_(width),
        channels_(channels),
        zeros_(zeros) {
    const std::int64_t all = grid.Positions();
    picture_ = position >= 0 ? position / all : -((all - 1 - position) / all);
    const std::int64_t inside = position - picture_ * all;
    row_ = inside / grid.columns;
    column_ = inside % grid.columns;
  }

  const BFloat16* Next() {
    const bool inside = picture_ >= 0 && picture_ < pictures_ &&
                        row_ < height_ && column_ < width_;
    const BFloat16* at =
        inside ? values_ + ((picture_ * height_ + row_) * width_ + column_) *
                               channels_
               : zeros_;
    if (++column_ == grid_.columns) {
      column_ = 0;
      if (++row_ == grid_.rows) {
        row_ = 0;
        ++picture_;
      }
    }
    return at;
  }

 private:
  const Grid& grid_;
  const BFloat16* const values_;
  const std::int64_t pictures_, height_, width_, channels_;
  const BFloat16* const zeros_;
  std::int64_t picture_, row_, column_;
};

// Where things lie in the partial sums.
struct Layout {
  explicit Layout(const ConvolutionShape& shape)
      : filter_tiles(RoundUp(shape.filters, kSide) / kSide),
        channel_tiles(RoundUp(shape.channels, kSide) / kSide),
        taps(shape.taps * shape.taps) {}

  // Tiles of all taps, then of the next 16 channels, then of the next filters;
  // in a tile filters by channels.
  std::int64_t Tile(std::int64_t filter_tile, std::int64_t channel_tile,
                    std::int64_t tap) const {
    return ((filter_tile * channel_tiles + channel_tile) * taps + tap) * kSums;
  }
  std::int64_t Bias() const { return Tile(filter_tiles, 0, 0); }
  std::int64_t Size() const { return Bias() + filter_tiles * kSide; }

  const std::int64_t filter_tiles, channel_tiles, taps;
};

// 64-byte aligned values.
class Buffer {
 public:
  explicit Buffer(std::int64_t count)
      : values_(static_cast<BFloat16*>(
            ::operator new(count * sizeof(BFloat16), kAlignment))) {}
  ~Buffer() { ::operator delete(values_, kAlignment); }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  BFloat16* get() const { return values_; }

 private:
  static constexpr std::align_val_t kAlignment{64};
  BFloat16* const values_;
};

// Packs pictures, and hands blocks of them to Tiles::Multiply. dy is
// transposed, [filters, positions]. Of x pairs of positions are interleaved,
// [channels / 16, positions / 2, 16, 2], once from an even position on and once
// from an odd one, so that every tap finds its pairs.
template <typename Tiles>
void Add(const ConvolutionShape& shape, const BFloat16* x, const BFloat16* dy,
         std::int64_t first, std::int64_t last, float* sums) {
  const Grid grid(shape);
  const Layout layout(shape);
  if (first == last || grid.Positions() == 0 || layout.filter_tiles == 0) {
    return;
  }
  const std::int64_t padded_channels = layout.channel_tiles * kSide;
  const std::int64_t padded_filters = layout.filter_tiles * kSide;
  const std::int64_t picture_bytes = (2 * padded_channels + padded_filters) *
                                     sizeof(BFloat16) * grid.Positions();
  const std::int64_t at_a_time = std::min(
      std::max<std::int64_t>(1, kPackedBytes / picture_bytes), last - first);

  const std::int64_t positions = RoundUp(at_a_time * grid.Positions(), kDepth);
  const std::int64_t lead = shape.before * (grid.columns + 1);
  const std::int64_t reach = (shape.taps - 1) * (grid.columns + 1);
  // An odd number of cache lines, so that rows do not compete for places.
  const std::int64_t row = RoundUp(positions, 2 * kDepth) + kDepth;
  const std::int64_t panel = (positions + RoundUp(reach, 2)) * kSide;

  const Buffer packed_dy(padded_filters * row);
  const Buffer packed_x(2 * layout.channel_tiles * panel);
  const Buffer zeros(std::max(padded_channels, padded_filters));
  std::memset(zeros.get(), 0,
              sizeof(BFloat16) * std::max(padded_channels, padded_filters));
  // Filters that only fill a tile up.
  std::memset(packed_dy.get(), 0, sizeof(BFloat16) * padded_filters * row);

  Tiles tiles;
  for (std::int64_t picture = first; picture < last; picture += at_a_time) {
    const std::int64_t end = std::min(picture + at_a_time, last);
    const std::int64_t start = picture * grid.Positions();
    // Behind the last picture's end come zeros, so that nobody else's count.
    Walk walk_dy(grid, dy, end, shape.OutputHeight(), shape.OutputWidth(),
                 shape.filters, zeros.get(), start);
    for (std::int64_t k = 0; k < positions; k += kDepth) {
      const BFloat16* from[kDepth];
      for (const BFloat16*& at : from) at = walk_dy.Next();
      tiles.Transpose(from, shape.filters, packed_dy.get() + k, row,
                      sums + layout.Bias());
    }
    Walk walk_x(grid, x, shape.pictures, shape.height, shape.width,
                shape.channels, zeros.get(), start - lead);
    const BFloat16* even = walk_x.Next();
    for (BFloat16* to = packed_x.get(); to < packed_x.get() + panel;
         to += 2 * kSide) {
      const BFloat16* odd = walk_x.Next();
      tiles.Interleave(even, odd, shape.channels, to, panel);
      even = walk_x.Next();
      tiles.Interleave(odd, even, shape.channels,
                       to + layout.channel_tiles * panel, panel);
    }

    for (std::int64_t f = 0; f < layout.filter_tiles; f += 2) {
      for (std::int64_t c = 0; c < layout.channel_tiles; c += 2) {
        for (std::int64_t k = 0; k < positions; k += kInnerPositions) {
          const std::int64_t steps =
              std::min(kInnerPositions, positions - k) / kDepth;
          for (std::int64_t tap = 0; tap < layout.taps; ++tap) {
            const std::int64_t at =
                k + tap / shape.taps * grid.columns + tap % shape.taps;
            const std::int64_t copy = at % 2 * layout.channel_tiles;
            tiles.Multiply(
                std::min<std::int64_t>(2, layout.filter_tiles - f),
                std::min<std::int64_t>(2, layout.channel_tiles - c),
                packed_dy.get() + f * kSide * row + k, row,
                packed_x.get() + (copy + c) * panel + at / 2 * 2 * kSide, panel,
                steps, sums + layout.Tile(f, c, tap), layout.Tile(1, 0, 0),
                layout.Tile(0, 1, 0));
          }
        }
      }
    }
  }
}

// The same in plain loops.
struct PlainTiles {
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

  // Adds dy x^T of up to 2 x 2 tiles to sums at their strides.
  void Multiply(std::int64_t filter_tiles, std::int64_t channel_tiles,
                const BFloat16* dy, std::int64_t row, const BFloat16* x,
                std::int64_t panel, std::int64_t steps, float* sums,
                std::int64_t filter_stride, std::int64_t channel_stride) const {
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
  // A thread's tiles belong to whoever configured them last, oneDNN above all,
  // which may count on finding them so.
  AmxTiles() {
    static const Configuration kOurs = {1,
                                        0,
                                        {},
                                        {64, 64, 64, 64, 64, 64, 64, 64},
                                        {16, 16, 16, 16, 16, 16, 16, 16}};
    // Not by GCC's intrinsics, which tell it of 8 of the 64 bytes.
    asm volatile("sttilecfg %0" : "=m"(before_));
    asm volatile("ldtilecfg %0" : : "m"(kOurs));
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
      // Filters 8 l to 8 l + 3, and 8 l + 4 to 8 l + 7, of each part l of 128
      // bits.
      __m512 low = _mm512_setzero_ps(), high = _mm512_setzero_ps();
      const __m512bh ones = (__m512bh)_mm512_set1_epi16(0x3f80);
      __m512i v[kDepth];
      // 8 x 8 blocks within 128 bits, then blocks among the registers.
      for (int group = 0; group < 4; ++group) {
        __m512i* g = v + 8 * group;
        __m512i a[8], b[8];
        for (int i = 0; i < 8; ++i) {
          a[i] = _mm512_maskz_loadu_epi16(mask, from[8 * group + i] + f);
        }
        for (int i = 0; i < 4; ++i) {
          b[2 * i] = _mm512_unpacklo_epi16(a[2 * i], a[2 * i + 1]);
          b[2 * i + 1] = _mm512_unpackhi_epi16(a[2 * i], a[2 * i + 1]);
          low = _mm512_dpbf16_ps(low, (__m512bh)b[2 * i], ones);
          high = _mm512_dpbf16_ps(high, (__m512bh)b[2 * i + 1], ones);
        }
        for (int i = 0; i < 2; ++i) {
          a[4 * i] = _mm512_unpacklo_epi32(b[4 * i], b[4 * i + 2]);
          a[4 * i + 1] = _mm512_unpackhi_epi32(b[4 * i], b[4 * i + 2]);
          a[4 * i + 2] = _mm512_unpacklo_epi32(b[4 * i + 1], b[4 * i + 3]);
          a[4 * i + 3] = _mm512_unpackhi_epi32(b[4 * i + 1], b[4 * i + 3]);
        }
        // g[i] has, in its part l, filter 8 l + i of 8 positions.
        for (int i = 0; i < 4; ++i) {
          g[2 * i] = _mm512_unpacklo_epi64(a[i], a[i + 4]);
          g[2 * i + 1] = _mm512_unpackhi_epi64(a[i], a[i + 4]);
        }
      }
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
            _mm512_storeu_si512(to + (f + filter) * row, rows[part]);
          }
        }
      }
      alignas(64) float both[2][kSide];
      _mm512_store_ps(both[0], low);
      _mm512_store_ps(both[1], high);
      for (std::int64_t i = 0; i < count; ++i) {
        bias[f + i] += both[i / 4 % 2][i / 8 * 4 + i % 4];
      }
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
    std::uint16_t bytes_a_row[16];
    std::uint8_t rows[16];
  };

  // Tiles 0 to 3 are sums, 4 and 5 of dy, 6 and 7 of x.
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
    // What the intrinsics load is written by now: they do not say that they
    // read.
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

std::int64_t WeightGradientBlocks(const ConvolutionShape& shape) {
  const Layout layout(shape);
  return layout.taps * layout.channel_tiles;
}

std::size_t WeightGradientSums(const ConvolutionShape& shape) {
  return Layout(shape).Size();
}

void AddWeightGradients(Isa isa, const ConvolutionShape& shape,
                        const BFloat16* x, const BFloat16* dy,
                        std::int64_t first, std::int64_t last, float* sums) {
#if defined(ALEXNET_TF_AMX)
  if (isa == Isa::kAmxBf16) {
    return Add<AmxTiles>(shape, x, dy, first, last, sums);
  }
#else
  static_cast<void>(isa);
#endif
  Add<PlainTiles>(shape, x, dy, first, last, sums);
}

void FinishWeightGradients(const ConvolutionShape& shape, const float* sums,
                           std::int64_t parts, std::int64_t first,
                           std::int64_t last, BFloat16* kernel) {
  const Layout layout(shape);
  for (std::int64_t block = first; block < last; ++block) {
    const std::int64_t tap = block / layout.channel_tiles;
    const std::int64_t c = block % layout.channel_tiles * kSide;
    const std::int64_t channels = std::min(kSide, shape.channels - c);
    BFloat16* own = kernel + (tap * shape.channels + c) * shape.filters;
    for (std::int64_t f = 0; f < shape.filters; f += kSide, own += kSide) {
      float tile[kSums] = {};
      for (std::int64_t part = 0; part < parts; ++part) {
        const float* from = sums + part * layout.Size() +
                            layout.Tile(f / kSide, c / kSide, tap);
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
                         std::int64_t parts, BFloat16* bias) {
  const Layout layout(shape);
  for (std::int64_t f = 0; f < shape.filters; ++f) {
    float sum = 0;
    for (std::int64_t part = 0; part < parts; ++part) {
      sum += sums[part * layout.Size() + layout.Bias() + f];
    }
    Narrow(sum, bias + f);
  }
}

}  // namespace alexnet_tf
