// SPDX-License-Identifier: BSD-3-Clause
#include <saltus/ctmc/io/npy.hpp>

#include <algorithm>
#include <bit>
#include <charconv>
#include <cstdint>
#include <cstring>
#include <limits>
#include <optional>
#include <type_traits>

#include <saltus/ctmc/error.hpp>
#include <saltus/ctmc/io/atomic_file.hpp>

namespace saltus {
namespace {

static_assert(std::endian::native == std::endian::little, "NPY files are read and written as they lie in memory");

constexpr std::string_view magic = "\x93NUMPY";
constexpr std::size_t max_rank = 64;  // of NumPy itself

struct Header {
  std::string descr;
  bool fortran_order = false;
  std::vector<std::size_t> shape;
};

[[noreturn]] void malformed(std::string const& path, std::string const& what) {
  throw UserError("'" + path + "' cannot be read as an NPY array: " + what +
                  "; write it with numpy.save(path, numpy.ascontiguousarray(array, dtype='<f8'))");
}

/// Reads the header, which is a Python dictionary of three known entries.
class HeaderParser {
 public:
  HeaderParser(std::string const& path, std::string_view text) : path_(path), rest_(text) {}

  Header parse() {
    std::optional<std::string> descr;
    std::optional<bool> fortran_order;
    std::optional<std::vector<std::size_t>> shape;
    expect('{');
    while (!accept('}')) {
      std::string const key = quoted();
      expect(':');
      if (key == "descr" && !descr) {
        if (next() == '[') malformed(path_, "expected one number type, got a structured one");
        descr = quoted();
      } else if (key == "fortran_order" && !fortran_order) {
        fortran_order = boolean();
      } else if (key == "shape" && !shape) {
        shape = tuple();
      } else {
        malformed(path_, "its header has an unknown or repeated entry '" + key + "'");
      }
      if (!accept(',')) {
        expect('}');
        break;
      }
    }
    if (next() != '\0' || !rest_.empty()) malformed(path_, "its header goes on after the closing '}'");
    if (!descr || !fortran_order || !shape) malformed(path_, "its header lacks descr, fortran_order or shape");
    return {*descr, *fortran_order, *shape};
  }

 private:
  /// The next character that is not blank; '\0' at the end.
  char next() {
    rest_.remove_prefix(std::min(rest_.find_first_not_of(" \t\n\r"), rest_.size()));
    return rest_.empty() ? '\0' : rest_.front();
  }
  bool accept(char c) {
    if (next() != c || rest_.empty()) return false;
    rest_.remove_prefix(1);
    return true;
  }
  void expect(char c) {
    if (!accept(c)) malformed(path_, std::string("its header is damaged: expected '") + c + "' before " + sample());
  }
  std::string sample() const { return rest_.empty() ? "its end" : "'" + std::string(rest_.substr(0, 20)) + "'"; }
  std::string quoted() {
    char const quote = next();
    auto const end = quote == '\'' || quote == '"' ? rest_.find(quote, 1) : std::string_view::npos;
    if (end == std::string_view::npos) malformed(path_, "its header is damaged: expected a string at " + sample());
    std::string const text(rest_.substr(1, end - 1));
    rest_.remove_prefix(end + 1);
    return text;
  }
  bool boolean() {
    next();
    for (bool const value : {true, false}) {
      std::string_view const word = value ? "True" : "False";
      if (!rest_.starts_with(word)) continue;
      rest_.remove_prefix(word.size());
      return value;
    }
    malformed(path_, "its header is damaged: expected True or False at " + sample());
  }
  std::vector<std::size_t> tuple() {
    std::vector<std::size_t> shape;
    expect('(');
    bool comma = true;
    while (!accept(')')) {
      if (!comma) expect(',');
      next();
      std::size_t extent = 0;
      auto const [end, error] = std::from_chars(rest_.data(), rest_.data() + rest_.size(), extent);
      if (error != std::errc()) malformed(path_, "its header is damaged: expected an extent at " + sample());
      rest_.remove_prefix(static_cast<std::size_t>(end - rest_.data()));
      shape.push_back(extent);
      if (shape.size() > max_rank) malformed(path_, "expected at most 64 dimensions, got more");
      comma = accept(',');
    }
    // (5) is a number in Python, not a tuple.
    if (shape.size() == 1 && !comma) malformed(path_, "its header is damaged: the shape is not a tuple");
    return shape;
  }

  std::string const& path_;
  std::string_view rest_;
};

std::string shape_text(std::vector<std::size_t> const& shape) {
  std::string text = "(";
  for (std::size_t i = 0; i < shape.size(); ++i) text += (i == 0 ? "" : ", ") + std::to_string(shape[i]);
  return text + (shape.size() == 1 ? ",)" : ")");
}

/// The number of elements, or nothing if it (or the product of the extents that are not 0) does not fit.
std::optional<std::size_t> element_count(std::vector<std::size_t> const& shape) {
  std::size_t product = 1;
  bool empty = false;
  for (std::size_t const extent : shape) {
    if (extent == 0) {
      empty = true;
    } else if (product > std::numeric_limits<std::size_t>::max() / extent) {
      return std::nullopt;
    } else {
      product *= extent;
    }
  }
  return empty ? 0 : product;
}

template <class Number>
void convert(std::string const& path, std::string_view bytes, std::vector<double>& values) {
  for (std::size_t i = 0; i < values.size(); ++i) {
    Number number;
    std::memcpy(&number, bytes.data() + i * sizeof(Number), sizeof(Number));
    if constexpr (std::is_integral_v<Number> && sizeof(Number) == 8) {
      constexpr auto limit = Number{1} << 53;
      bool const fits = number <= limit && (std::is_unsigned_v<Number> || number >= Number{0} - limit);
      if (!fits) malformed(path, "element " + std::to_string(i) + " is " + std::to_string(number) + ", beyond 2^53");
    }
    values[i] = static_cast<double>(number);
  }
}

using Converter = void (*)(std::string const&, std::string_view, std::vector<double>&);
struct ElementType {
  std::string_view descr;
  std::size_t bytes;
  Converter convert;
};
constexpr ElementType element_types[] = {
    {"<f8", 8, convert<double>},        {"<f4", 4, convert<float>},         {"<i8", 8, convert<std::int64_t>},
    {"<i4", 4, convert<std::int32_t>},  {"<i2", 2, convert<std::int16_t>},  {"|i1", 1, convert<std::int8_t>},
    {"<i1", 1, convert<std::int8_t>},   {"<u8", 8, convert<std::uint64_t>}, {"<u4", 4, convert<std::uint32_t>},
    {"<u2", 2, convert<std::uint16_t>}, {"|u1", 1, convert<std::uint8_t>},  {"<u1", 1, convert<std::uint8_t>},
};

/// Values whose first index is fastest, put into C order.
std::vector<double> c_order(std::vector<std::size_t> const& shape, std::vector<double> const& values) {
  std::vector<double> ordered(values.size());
  std::vector<std::size_t> index(shape.size(), 0);
  for (double const value : values) {
    std::size_t place = 0;
    for (std::size_t d = 0; d < shape.size(); ++d) place = place * shape[d] + index[d];
    ordered[place] = value;
    for (std::size_t d = 0; d < shape.size() && ++index[d] == shape[d]; ++d) index[d] = 0;
  }
  return ordered;
}

}  // namespace

NpyArray read_npy(std::string const& path) {
  std::string const file = read_file(path);
  std::string_view rest = file;
  if (!rest.starts_with(magic)) malformed(path, "it does not begin with the mark of NPY files");
  rest.remove_prefix(magic.size());
  if (rest.size() < 2) malformed(path, "it ends within its header");
  int const version = static_cast<unsigned char>(rest[0]);
  if (version != 1 && version != 2) malformed(path, "expected version 1 or 2, got " + std::to_string(version));
  rest.remove_prefix(2);
  std::size_t const length_bytes = version == 1 ? 2 : 4;
  if (rest.size() < length_bytes) malformed(path, "it ends within its header");
  std::size_t header_bytes = 0;
  for (std::size_t i = 0; i < length_bytes; ++i) {
    header_bytes |= static_cast<std::size_t>(static_cast<unsigned char>(rest[i])) << (8 * i);
  }
  rest.remove_prefix(length_bytes);
  if (rest.size() < header_bytes) {
    malformed(path, "it ends within its header: expected " + std::to_string(header_bytes) + " bytes, got " +
                        std::to_string(rest.size()));
  }
  Header const header = HeaderParser(path, rest.substr(0, header_bytes)).parse();
  rest.remove_prefix(header_bytes);

  auto const type = std::find_if(std::begin(element_types), std::end(element_types),
                                 [&](ElementType const& known) { return known.descr == header.descr; });
  if (type == std::end(element_types)) {
    malformed(path, "expected little-endian integers or floats, got the type '" + header.descr + "'");
  }
  auto const count = element_count(header.shape);
  // Compared by division: count * bytes may overflow.
  if (!count || *count > rest.size() / type->bytes) {
    malformed(path, "its shape " + shape_text(header.shape) + " of '" + header.descr + "' needs more than the " +
                        std::to_string(rest.size()) + " bytes of data that are there");
  }
  if (*count * type->bytes != rest.size()) {
    malformed(path, "its shape " + shape_text(header.shape) + " of '" + header.descr + "' needs " +
                        std::to_string(*count * type->bytes) + " bytes of data, but there are " +
                        std::to_string(rest.size()));
  }
  NpyArray array{header.shape, std::vector<double>(*count)};
  type->convert(path, rest, array.values);
  if (header.fortran_order && header.shape.size() > 1) array.values = c_order(array.shape, array.values);
  return array;
}

void write_npy(std::string const& path, std::vector<std::size_t> const& shape, std::span<double const> values) {
  SALTUS_ASSERT(element_count(shape) == values.size());
  AtomicFile file(path);
  file.write(npy_header("<f8", shape));
  file.write({reinterpret_cast<char const*>(values.data()), values.size_bytes()});
  file.commit();
}

std::string npy_header(std::string_view descr, std::vector<std::size_t> const& shape) {
  std::string dictionary =
      "{'descr': '" + std::string(descr) + "', 'fortran_order': False, 'shape': " + shape_text(shape) + ", }";
  std::size_t const before = magic.size() + 2 + 2;
  std::size_t const total = (before + dictionary.size() + 1 + 63) / 64 * 64;
  dictionary.resize(total - before - 1, ' ');
  dictionary += '\n';
  SALTUS_ASSERT(dictionary.size() <= 0xFFFF);
  std::string header(magic);
  header += '\x01';
  header += '\x00';
  header += static_cast<char>(dictionary.size() & 0xFF);
  header += static_cast<char>(dictionary.size() >> 8);
  return header + dictionary;
}

}  // namespace saltus
