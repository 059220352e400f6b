// SPDX-License-Identifier: BSD-3-Clause
#include <saltus/models/safetensors.hpp>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <optional>

#include <nlohmann/json.hpp>

#include <saltus/ctmc/error.hpp>
#include <saltus/ctmc/io/atomic_file.hpp>
#include <saltus/models/json_file.hpp>

namespace saltus {
namespace {

using Json = nlohmann::ordered_json;
constexpr std::size_t length_size = 8;
constexpr std::string_view metadata_key = "__metadata__";

static_assert(std::endian::native == std::endian::little, "safetensors files are little-endian");

// The product of the extents times the size of a scalar; nothing if it overflows.
std::optional<std::uint64_t> bytes_of(std::vector<std::int64_t> const& shape, std::size_t scalar) {
  std::uint64_t bytes = scalar;
  for (auto const extent : shape) {
    if (extent < 0 || __builtin_mul_overflow(bytes, static_cast<std::uint64_t>(extent), &bytes)) return std::nullopt;
  }
  return bytes;
}

}  // namespace

std::size_t scalar_size(std::string const& type) {
  for (auto const* const name : {"F64", "I64", "U64"}) {
    if (type == name) return 8;
  }
  for (auto const* const name : {"F32", "I32", "U32"}) {
    if (type == name) return 4;
  }
  for (auto const* const name : {"F16", "BF16", "I16", "U16"}) {
    if (type == name) return 2;
  }
  for (auto const* const name : {"I8", "U8", "BOOL"}) {
    if (type == name) return 1;
  }
  return 0;
}

TensorFile::TensorFile(std::string const& path) : bytes_(read_file(path)) {
  std::string const file = "'" + path + "'";
  require(bytes_.size() >= length_size, file + " has " + std::to_string(bytes_.size()) +
                                            " bytes; a safetensors file begins with 8 bytes that give the length of its header");
  std::uint64_t header = 0;
  std::memcpy(&header, bytes_.data(), length_size);
  require(header <= bytes_.size() - length_size, file + ": the header should have " + std::to_string(header) +
                                                     " bytes, but only " + std::to_string(bytes_.size() - length_size) +
                                                     " follow: the file is truncated, or no safetensors file");
  Json const json = parse_json(std::string_view(bytes_).substr(length_size, header), file + ": the header");
  require(json.is_object(), file + ": the header is not a JSON object");
  std::span<std::byte const> const data = std::as_bytes(std::span(bytes_)).subspan(length_size + header);
  for (auto const& [name, entry] : json.items()) {
    if (name == metadata_key) {
      try {
        metadata_ = entry.get<std::map<std::string, std::string>>();
      } catch (Json::exception const&) {
        throw UserError(file + ": __metadata__ should map texts to texts");
      }
      continue;
    }
    std::string const tensor = file + ": the tensor '" + name + "' ";
    StoredTensor stored{name, {}, {}, {}};
    std::vector<std::uint64_t> place;
    try {
      stored.type = entry.at("dtype").get<std::string>();
      stored.shape = entry.at("shape").get<std::vector<std::int64_t>>();
      for (auto const& offset : entry.at("data_offsets")) {
        require(offset.is_number_unsigned(), tensor + "has the offset " + offset.dump());
        place.push_back(offset.get<std::uint64_t>());
      }
    } catch (Json::exception const&) {
      throw UserError(tensor + "needs dtype, shape and data_offsets, got " + entry.dump().substr(0, 80));
    }
    std::size_t const scalar = scalar_size(stored.type);
    require(scalar > 0, tensor + "has the scalar type '" + stored.type + "', which is not known");
    require(place.size() == 2 && place[0] <= place[1], tensor + "needs two ordered data_offsets");
    require(place[1] <= data.size(), tensor + "ends at byte " + std::to_string(place[1]) + ", but there are only " +
                                         std::to_string(data.size()) + ": the file is truncated");
    auto const bytes = bytes_of(stored.shape, scalar);
    require(bytes == place[1] - place[0], tensor + "has " + std::to_string(place[1] - place[0]) +
                                              " bytes, but its shape needs " +
                                              (bytes ? std::to_string(*bytes) : "more than there can be"));
    stored.bytes = data.subspan(place[0], place[1] - place[0]);
    tensors_.push_back(std::move(stored));
  }
  std::stable_sort(tensors_.begin(), tensors_.end(), [](auto const& a, auto const& b) {
    return a.bytes.data() != b.bytes.data() ? a.bytes.data() < b.bytes.data() : a.bytes.size() < b.bytes.size();
  });
  std::size_t end = 0;
  for (auto const& t : tensors_) {
    auto const begin = static_cast<std::size_t>(t.bytes.data() - data.data());
    require(begin >= end, file + ": the tensor '" + t.name + "' overlaps another one");
    require(begin == end, file + ": there are " + std::to_string(begin - end) + " unused bytes before the tensor '" + t.name + "'");
    end = begin + t.bytes.size();
  }
  require(end == data.size(), file + ": " + std::to_string(data.size() - end) + " bytes after the last tensor");
}

void write_tensors(std::string const& path, std::vector<StoredTensor> const& tensors,
                   std::map<std::string, std::string> const& metadata) {
  Json header = Json::object();
  if (!metadata.empty()) header[std::string(metadata_key)] = metadata;
  std::size_t end = 0;
  for (auto const& t : tensors) {
    header[t.name] = {{"dtype", t.type}, {"shape", t.shape}, {"data_offsets", {end, end + t.bytes.size()}}};
    end += t.bytes.size();
  }
  std::string text = header.dump(-1, ' ', false, Json::error_handler_t::replace);
  text.resize((text.size() + 7) / 8 * 8, ' ');  // so that the data are aligned
  std::uint64_t const length = text.size();
  AtomicFile file(path);
  file.write({reinterpret_cast<char const*>(&length), length_size});
  file.write(text);
  for (auto const& t : tensors) file.write({reinterpret_cast<char const*>(t.bytes.data()), t.bytes.size()});
  file.commit();
}

std::vector<std::uint16_t> as_half(std::span<float const> values) {
  std::vector<std::uint16_t> out;
  out.reserve(values.size());
  for (float const value : values) {
    auto const bits = std::bit_cast<std::uint32_t>(value);
    std::uint32_t const sign = (bits >> 16) & 0x8000u, magnitude = bits & 0x7fffffffu;
    std::uint32_t half = 0;
    if (magnitude > 0x7f800000u) {
      half = 0x7e00;  // not a number
    } else if (magnitude >= 0x47800000u) {
      half = 0x7c00;  // 65536 and above
    } else if (magnitude < 0x38800000u) {  // below 2^-14: a multiple of 2^-24
      half = static_cast<std::uint32_t>(std::nearbyint(std::ldexp(std::bit_cast<float>(magnitude), 24)));
    } else {  // a carry of the rounding runs into the exponent, as it should, up to infinity
      half = ((magnitude - 0x38000000u) + 0xfffu + ((magnitude >> 13) & 1)) >> 13;
    }
    out.push_back(static_cast<std::uint16_t>(sign | half));
  }
  return out;
}

}  // namespace saltus
