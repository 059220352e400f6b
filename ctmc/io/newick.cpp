// SPDX-License-Identifier: BSD-3-Clause
#include <saltus/ctmc/io/newick.hpp>

#include <algorithm>
#include <cmath>
#include <unordered_set>

#include <saltus/ctmc/error.hpp>
#include <saltus/ctmc/io/alphabet.hpp>
#include <saltus/ctmc/io/atomic_file.hpp>
#include <saltus/ctmc/io/table.hpp>

namespace saltus {
namespace {

constexpr std::string_view blanks = " \t\r\n";
constexpr std::string_view delimiters = " \t\r\n()[]':;,";

/// Goes through the text once, without recursion: trees can be as deep as they have leaves.
class Parser {
 public:
  Parser(std::string_view text, std::string const& source) : text_(text), source_(source) {}

  Tree parse() {
    skip();
    require(at_ < text_.size(), "'" + source_ + "' has no tree; expected one in Newick format, as in (A:0.1,B:0.2);");
    int current = add(-1);
    while (true) {
      if (next() == '(') {
        ++at_;
        current = add(current);
        continue;
      }
      finish_leaf(current);
      while (next() == ')') {
        current = node(current).parent;
        if (current < 0) fail("this ')' closes no '('");
        ++at_;
        finish_inner(current);
      }
      char const c = next();
      if (c == ';') break;
      if (c != ',') {
        fail(at_ == text_.size() ? "the tree ends without ';'"
                                 : "expected ',', ')' or ';', got " + quoted_character(c) +
                                       " (names with blanks or brackets stand in single quotes)");
      }
      current = node(current).parent;
      if (current < 0) fail("this ',' stands outside all brackets");
      ++at_;
      current = add(current);
    }
    if (current != 0) fail("a '(' before this ';' is not closed");
    ++at_;
    skip();
    if (at_ < text_.size()) fail("expected nothing after the ';', since one file holds one tree; remove the rest");
    name_inner_nodes();
    return std::move(tree_);
  }

 private:
  Tree::Node& node(int index) { return tree_.nodes[static_cast<std::size_t>(index)]; }

  int add(int parent) {
    int const index = static_cast<int>(tree_.nodes.size());
    tree_.nodes.push_back({parent, 0, {}, {}});
    if (parent >= 0) node(parent).children.push_back(index);
    return index;
  }

  void finish_leaf(int leaf) {
    skip();
    auto const start = at_;
    node(leaf).name = name();
    if (node(leaf).name.empty()) {
      at_ = start;
      fail("expected the name of a leaf");
    }
    if (!leaves_.insert(node(leaf).name).second) {
      at_ = start;
      fail("two leaves are called '" + node(leaf).name + "'; names of leaves must differ");
    }
    node(leaf).length = length(leaf);
  }

  void finish_inner(int inner) {
    node(inner).name = name();
    node(inner).length = length(inner);
  }

  void name_inner_nodes() {
    for (std::size_t i = 0; i < tree_.nodes.size(); ++i) {
      auto& name = tree_.nodes[i].name;
      if (!name.empty()) continue;
      name = "node_" + std::to_string(i);
      require(!leaves_.contains(name), "'" + source_ + "': a leaf is called '" + name +
                                           "', which is also the name of inner node " + std::to_string(i) +
                                           " as it has none; give the inner node a name");
    }
  }

  /// Skips blanks and comments, which can hold others.
  void skip() {
    while (true) {
      at_ = std::min(text_.find_first_not_of(blanks, at_), text_.size());
      if (at_ == text_.size() || text_[at_] != '[') return;
      auto const start = at_;
      for (int depth = 0; at_ < text_.size(); ++at_) {
        if (text_[at_] == '[') ++depth;
        if (text_[at_] == ']' && --depth == 0) break;
      }
      if (at_ == text_.size()) {
        at_ = start;
        fail("this comment has no ']'");
      }
      ++at_;
    }
  }

  /// The next character that counts; 0 at the end.
  char next() {
    skip();
    return at_ < text_.size() ? text_[at_] : '\0';
  }

  std::string_view word() {
    skip();
    auto const start = at_;
    at_ = std::min(text_.find_first_of(delimiters, at_), text_.size());
    return text_.substr(start, at_ - start);
  }

  std::string name() {
    if (next() != '\'') return std::string(word());
    auto const start = at_++;
    std::string name;
    while (true) {
      auto const quote = text_.find('\'', at_);
      if (quote == text_.npos) {
        at_ = start;
        fail("this name has no closing quote");
      }
      name += text_.substr(at_, quote - at_);
      at_ = quote + 1;
      if (at_ == text_.size() || text_[at_] != '\'') {
        bool const plain = std::none_of(name.begin(), name.end(), [](unsigned char c) { return c < ' '; });
        if (!plain) {
          at_ = start;
          fail("this name has a line break or another control character");
        }
        return name;
      }
      name += '\'';
      ++at_;
    }
  }

  double length(int index) {
    bool const root = index == 0;
    if (next() != ':') {
      auto const& called = node(index).name;
      if (!root)
        fail((called.empty() ? "this branch" : "the branch of '" + called + "'") +
             " has no length; write ':' and its length");
      return 0;
    }
    ++at_;
    skip();
    auto const start = at_;
    auto const digits = word();
    auto const value = parse_number(digits);
    if (!value || !std::isfinite(*value) || *value < 0) {
      at_ = start;
      fail("the length of a branch must be a number >= 0, got '" + std::string(digits) + "'");
    }
    return root ? 0 : *value;
  }

  [[noreturn]] void fail(std::string const& what) const {
    auto const before = text_.substr(0, at_);
    auto const line = std::count(before.begin(), before.end(), '\n') + 1;
    auto const column = at_ - (before.rfind('\n') + 1) + 1;  // npos + 1 is 0
    throw UserError("'" + source_ + "', line " + std::to_string(line) + ", column " + std::to_string(column) + ": " +
                    what);
  }

  std::string_view text_;
  std::string const& source_;
  std::size_t at_ = 0;
  Tree tree_;
  std::unordered_set<std::string> leaves_;
};

}  // namespace

Tree parse_newick(std::string_view text, std::string const& source) {
  constexpr std::string_view byte_order_mark = "\xEF\xBB\xBF";
  if (text.starts_with(byte_order_mark)) text.remove_prefix(byte_order_mark.size());
  return Parser(text, source).parse();
}

Tree read_newick(std::string const& path) { return parse_newick(read_file(path), path); }

}  // namespace saltus
