// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cstdint>
#include <cstring>
#include <type_traits>

#include <Kokkos_Core.hpp>

/// Numbers as they lie in memory: networks may store scores in 16 bits, which are widened as they are read.
namespace saltus {

enum class ScalarType { f32, f64, f16, bf16 };

KOKKOS_INLINE_FUNCTION constexpr std::size_t scalar_size(ScalarType type) {
  return type == ScalarType::f64 ? 8 : type == ScalarType::f32 ? 4 : 2;
}

/// bfloat16: the upper half of a float.
struct BFloat16 {
  std::uint16_t bits;
  KOKKOS_FORCEINLINE_FUNCTION operator float() const { return Kokkos::bit_cast<float>(std::uint32_t{bits} << 16); }
  /// The nearest one, ties to even.
  KOKKOS_INLINE_FUNCTION static BFloat16 nearest(float x) {
    std::uint32_t const u = Kokkos::bit_cast<std::uint32_t>(x);
    if (x != x) return {static_cast<std::uint16_t>((u >> 16) | 0x40u)};
    return {static_cast<std::uint16_t>((u + 0x7fffu + ((u >> 16) & 1u)) >> 16)};
  }
};

/// IEEE binary16.
struct Float16 {
  std::uint16_t bits;
  // Exponent and fraction are moved to their places in a float, and the exponent's bias is mended by a product, exact also
  // for subnormal numbers. No branch, so that loops are vectorised.
  KOKKOS_FORCEINLINE_FUNCTION operator float() const {
    std::uint32_t const magnitude = (bits & 0x7fffu) << 13, sign = (bits & 0x8000u) << 16;
    std::uint32_t const finite = Kokkos::bit_cast<std::uint32_t>(Kokkos::bit_cast<float>(magnitude) * 0x1p112f);
    return Kokkos::bit_cast<float>(sign | (magnitude >= 0x0f800000u ? magnitude | 0x7f800000u : finite));
  }
  /// The nearest one, ties to even; infinite from 65520 on.
  KOKKOS_INLINE_FUNCTION static Float16 nearest(float x) {
    std::uint32_t const u = Kokkos::bit_cast<std::uint32_t>(x), sign = (u >> 16) & 0x8000u, magnitude = u & 0x7fffffffu;
    if (magnitude > 0x7f800000u) return {static_cast<std::uint16_t>(sign | 0x7e00u)};
    if (magnitude >= 0x477ff000u) return {static_cast<std::uint16_t>(sign | 0x7c00u)};
    // Below the smallest normal number an addition rounds to multiples of 2^-24, which are the subnormal ones.
    if (magnitude < 0x38800000u) {
      float const shifted = Kokkos::bit_cast<float>(magnitude) + 0.5f;
      return {static_cast<std::uint16_t>(sign | (Kokkos::bit_cast<std::uint32_t>(shifted) - 0x3f000000u))};
    }
    std::uint32_t const rounded = magnitude + 0xfffu + ((magnitude >> 13) & 1u);
    return {static_cast<std::uint16_t>(sign | ((rounded - 0x38000000u) >> 13))};
  }
};

/// Sixteen numbers at a time, where the processor has an instruction for it that compilers do not find by themselves. (By its
/// builtin function: the header of all intrinsics would cost every file that includes this one a third of its time.)
KOKKOS_FORCEINLINE_FUNCTION void widen_sixteen(Float16 const* from, float* to) {
#if defined(__F16C__) && defined(__GNUC__)
  KOKKOS_IF_ON_HOST((
      typedef short Eight __attribute__((vector_size(16)));
      typedef float Wide __attribute__((vector_size(32)));
      for (int i = 0; i < 16; i += 8) {
        Eight narrow;
        std::memcpy(&narrow, from + i, sizeof narrow);
        Wide const wide = __builtin_ia32_vcvtph2ps256(narrow);
        std::memcpy(to + i, &wide, sizeof wide);
      }
      return;))
#endif
  for (int i = 0; i < 16; ++i) to[i] = from[i];
}

/// Calls the visitor with the numbers as a pointer to their type, on the host.
template <class Visitor>
decltype(auto) visit_numbers(void const* data, ScalarType type, Visitor&& visitor) {
  switch (type) {
    case ScalarType::f16: return visitor(static_cast<Float16 const*>(data));
    case ScalarType::bf16: return visitor(static_cast<BFloat16 const*>(data));
    case ScalarType::f64: return visitor(static_cast<double const*>(data));
    default: return visitor(static_cast<float const*>(data));
  }
}

/// Where numbers lie that are computed with as `Scalar`: of that type or, for float, of 16 bits.
template <class Scalar>
class Stored {
 public:
  KOKKOS_FORCEINLINE_FUNCTION Stored(Scalar const* numbers)
      : data_(numbers), type_(std::is_same_v<Scalar, float> ? ScalarType::f32 : ScalarType::f64) {}
  KOKKOS_FORCEINLINE_FUNCTION Stored(void const* data, ScalarType type) : data_(data), type_(type) {}

  KOKKOS_FORCEINLINE_FUNCTION bool narrow() const {
    if constexpr (std::is_same_v<Scalar, float>) {
      return type_ != ScalarType::f32;
    } else {
      return false;
    }
  }
  KOKKOS_FORCEINLINE_FUNCTION ScalarType type() const { return type_; }
  /// The same from the number with this index on.
  KOKKOS_FORCEINLINE_FUNCTION Stored from(std::int64_t index) const {
    return {static_cast<char const*>(data_) + index * (narrow() ? 2 : static_cast<std::int64_t>(sizeof(Scalar))), type_};
  }
  /// The numbers themselves, of rows that are not narrow.
  KOKKOS_FORCEINLINE_FUNCTION Scalar const* in_place() const { return static_cast<Scalar const*>(data_); }
  KOKKOS_FORCEINLINE_FUNCTION void const* data() const { return data_; }
  /// n numbers from `first` on: in place, or widened into the buffer.
  KOKKOS_FORCEINLINE_FUNCTION Scalar const* load(int first, int n, Scalar* buffer) const {
    if (!narrow()) return in_place() + first;
    widen(first, n, buffer);
    return buffer;
  }
  /// Not for inner loops.
  KOKKOS_INLINE_FUNCTION Scalar operator[](int i) const {
    Scalar buffer;
    return *load(i, 1, &buffer);
  }

 private:
  KOKKOS_FUNCTION void widen([[maybe_unused]] int first, [[maybe_unused]] int n, [[maybe_unused]] Scalar* to) const {
    if constexpr (std::is_same_v<Scalar, float>) {
      if (type_ == ScalarType::bf16) {
        auto const* const from = static_cast<BFloat16 const*>(data_) + first;
#pragma omp simd
        for (int i = 0; i < n; ++i) to[i] = from[i];
      } else {
        auto const* const from = static_cast<Float16 const*>(data_) + first;
        int i = 0;
        for (; i + 16 <= n; i += 16) widen_sixteen(from + i, to + i);
        for (; i < n; ++i) to[i] = from[i];
      }
    }
  }

  void const* data_;
  ScalarType type_;
};

}  // namespace saltus
