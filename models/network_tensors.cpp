// SPDX-License-Identifier: BSD-3-Clause
#include <saltus/models/network_tensors.hpp>

#include <algorithm>
#include <iterator>

#include <saltus/ctmc/error.hpp>

namespace saltus {

std::vector<saltus_tensor> network_tensors(std::vector<StoredTensor> const& tensors, std::string const& path) {
  std::vector<saltus_tensor> list;
  for (auto const& t : tensors) {
    saltus_tensor& to = list.emplace_back();
    to.name = t.name.c_str();
    to.scalar = t.type == "F32" ? SALTUS_F32 : t.type == "F64" ? SALTUS_F64 : t.type == "F16" ? SALTUS_F16 : SALTUS_BF16;
    require(t.type == "F32" || t.type == "F64" || t.type == "F16" || t.type == "BF16",
            "'" + path + "': the tensor '" + t.name + "' has the scalar type " + t.type + "; weights are F32, F16, BF16 or F64");
    require(t.shape.size() <= std::size(to.shape),
            "'" + path + "': the tensor '" + t.name + "' has " + std::to_string(t.shape.size()) + " axes");
    to.rank = static_cast<std::int32_t>(t.shape.size());
    std::copy(t.shape.begin(), t.shape.end(), to.shape);
    to.data = t.bytes.data();
  }
  return list;
}

}  // namespace saltus
