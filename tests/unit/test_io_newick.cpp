// SPDX-License-Identifier: BSD-3-Clause
#include <algorithm>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include <saltus/ctmc/error.hpp>
#include <saltus/ctmc/io/newick.hpp>

#include "reference/messages.hpp"

namespace saltus {
namespace {

using reference::message_of;

Tree parse(std::string const& text) { return parse_newick(text, "tree"); }

std::string refusal(std::string const& text) {
  auto const message = message_of<UserError>([&] { parse(text); });
  EXPECT_SAYS(message, "'tree'");
  return message;
}

void expect_preorder(Tree const& tree) {
  ASSERT_FALSE(tree.nodes.empty());
  EXPECT_EQ(tree.nodes[0].parent, -1);
  for (int i = 1; i < static_cast<int>(tree.nodes.size()); ++i) {
    int const parent = tree.nodes[static_cast<std::size_t>(i)].parent;
    ASSERT_GE(parent, 0);
    ASSERT_LT(parent, i);
    auto const& siblings = tree.nodes[static_cast<std::size_t>(parent)].children;
    EXPECT_EQ(std::count(siblings.begin(), siblings.end(), i), 1);
  }
}

TEST(IoNewick, NodesInPreorder) {
  Tree const tree = parse("((A:0.1,B:2e-1)inner:0.3,C:1,(D:0):4):9;");
  expect_preorder(tree);
  std::vector<std::string> const names{"node_0", "inner", "A", "B", "C", "node_5", "D"};
  std::vector<int> const parents{-1, 0, 1, 1, 0, 0, 5};
  std::vector<double> const lengths{0, 0.3, 0.1, 0.2, 1, 4, 0};
  ASSERT_EQ(tree.nodes.size(), names.size());
  for (std::size_t i = 0; i < names.size(); ++i) {
    EXPECT_EQ(tree.nodes[i].name, names[i]);
    EXPECT_EQ(tree.nodes[i].parent, parents[i]);
    EXPECT_EQ(tree.nodes[i].length, lengths[i]);
  }
  EXPECT_EQ(tree.nodes[0].children, (std::vector<int>{1, 4, 5}));
  EXPECT_EQ(tree.nodes[1].children, (std::vector<int>{2, 3}));
  EXPECT_TRUE(tree.nodes[2].children.empty());
}

TEST(IoNewick, NamesCommentsAndBlanks) {
  Tree const tree =
      parse("\xEF\xBB\xBF[&R] ( 'it''s (a) name' : 1 ,\n\tHomo_sapiens[&&NHX:S=h[nested]]:\r\n+1.5E+1)[x]'':0[;] ; \n");
  ASSERT_EQ(tree.nodes.size(), 3u);
  EXPECT_EQ(tree.nodes[1].name, "it's (a) name");
  EXPECT_EQ(tree.nodes[1].length, 1);
  EXPECT_EQ(tree.nodes[2].name, "Homo_sapiens");
  EXPECT_EQ(tree.nodes[2].length, 15);
  EXPECT_EQ(tree.nodes[0].name, "node_0");
  EXPECT_EQ(parse("(A:1,B:1)root;").nodes[0].name, "root");
  // support values of inner nodes can repeat
  EXPECT_EQ(parse("((A:1,B:1)95:1,(C:1,D:1)95:1);").nodes[1].name, "95");
  EXPECT_EQ(parse("only;").nodes.size(), 1u);
}

TEST(IoNewick, DeepTreesNeedNoStack) {
  int const depth = 100000;
  std::string text(static_cast<std::size_t>(depth), '(');
  text += "leaf_0:1";
  for (int i = 1; i <= depth; ++i) text += ",leaf_" + std::to_string(i) + ":1):1";
  Tree const tree = parse(text + ";");
  EXPECT_EQ(tree.nodes.size(), 2u * depth + 1);
  EXPECT_EQ(tree.nodes[static_cast<std::size_t>(depth)].name, "leaf_0");
  EXPECT_EQ(tree.nodes.back().name, "leaf_" + std::to_string(depth));
  EXPECT_EQ(tree.nodes.back().parent, 0);
}

TEST(IoNewick, Refusals) {
  EXPECT_SAYS(refusal(""), "has no tree");
  EXPECT_SAYS(refusal(" \n [a comment] "), "has no tree");
  EXPECT_SAYS(refusal(";"), "line 1, column 1: expected the name of a leaf");
  EXPECT_SAYS(refusal("();"), "column 2: expected the name of a leaf");
  EXPECT_SAYS(refusal("(A:1,);"), "column 6: expected the name of a leaf");
  EXPECT_SAYS(refusal("(A:1,:1);"), "column 6: expected the name of a leaf");
  EXPECT_SAYS(refusal("(A:1,\n B);"), "line 2, column 3: the branch of 'B' has no length");
  EXPECT_SAYS(refusal("((A:1,B:1),C:1);"), "column 11: this branch has no length");
  EXPECT_SAYS(refusal("(A:-0.1,B:1);"), "column 4: the length of a branch must be a number >= 0, got '-0.1'");
  for (std::string const bad : {"", "x", "nan", "inf", "1e999", "1.2.3"}) {
    EXPECT_SAYS(refusal("(A:" + bad + ",B:1);"), "must be a number >= 0, got '" + bad + "'");
  }
  EXPECT_SAYS(refusal("(A:1,B:1):-1;"), "column 11: the length of a branch");
  EXPECT_SAYS(refusal("(A:1,(B:1,A:2):1);"), "column 11: two leaves are called 'A'");
  EXPECT_SAYS(refusal("((A:1,node_0:1):1,B:1);"), "a leaf is called 'node_0', which is also the name of inner node 0");
  EXPECT_SAYS(refusal("(A:1,B:1));"), "column 10: this ')' closes no '('");
  EXPECT_SAYS(refusal("((A:1,B:1):1;"), "a '(' before this ';' is not closed");
  EXPECT_SAYS(refusal("(A:1,B:1),C:1;"), "column 10: this ',' stands outside all brackets");
  EXPECT_SAYS(refusal("(A:1,B:1)"), "ends without ';'");
  EXPECT_SAYS(refusal("(A:1,B:1"), "ends without ';'");
  EXPECT_SAYS(refusal("(A:1 B:1);"), "column 6: expected ',', ')' or ';', got 'B'");
  EXPECT_SAYS(refusal("(A:1(B:1):1);"), "got '('");
  EXPECT_SAYS(refusal("(A:1,B:1);\n(C:1,D:1);"), "line 2, column 1: expected nothing after the ';'");
  EXPECT_SAYS(refusal("(A:1,[open B:1);"), "column 6: this comment has no ']'");
  EXPECT_SAYS(refusal("(A:1,'B:1);"), "column 6: this name has no closing quote");
  EXPECT_SAYS(refusal("(A:1,'B\nC':1);"), "column 6: this name has a line break");
  EXPECT_SAYS(message_of<UserError>([] { read_newick("/nonexistent/tree.nwk"); }), "/nonexistent/tree.nwk");
}

}  // namespace
}  // namespace saltus
