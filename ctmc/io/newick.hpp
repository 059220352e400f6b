// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace saltus {

/// A rooted tree.
struct Tree {
  struct Node {
    int parent;                 ///< -1: the root
    double length;              ///< of the branch from the parent, >= 0; 0 at the root
    std::string name;           ///< never empty
    std::vector<int> children;  ///< empty: a leaf
  };
  std::vector<Node> nodes;  ///< in preorder: node 0 is the root, parents come before their children
};

/// Reads one tree in Newick format, "((A:0.1,B:0.2):0.3,C:1);". Names can stand in single quotes ('' is a quote
/// within), underscores stay, comments in [] are skipped, blanks do not count. Leaves need names that differ; inner
/// nodes without a name are called node_<index>. A length of the root is read and left out, since nothing comes before
/// the root. UserError that names `source`, line and column for a branch without a length or with one that is negative
/// or no number, leaves without names or of one name, unbalanced brackets, or anything after the ';'.
Tree parse_newick(std::string_view text, std::string const& source);

/// parse_newick() of a file.
Tree read_newick(std::string const& path);

}  // namespace saltus
