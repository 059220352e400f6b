// SPDX-License-Identifier: BSD-3-Clause
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <thread>
#include <vector>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <saltus/ctmc/error.hpp>
#include <saltus/ctmc/io/atomic_file.hpp>

#include "reference/messages.hpp"

namespace saltus {
namespace {

namespace fs = std::filesystem;

using reference::message_of;

class IoAtomicFile : public testing::Test {
 protected:
  void SetUp() override { fs::create_directories(directory_); }
  void TearDown() override { fs::remove_all(directory_); }

  std::string path(std::string const& name) const { return (directory_ / name).string(); }
  void put(std::string const& name, std::string const& text) const {
    std::ofstream(path(name), std::ios::binary) << text;
  }
  /// Not by read_file(), which is under test.
  std::string get(std::string const& name) const {
    std::ifstream in(path(name), std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  std::size_t entries() const {
    return static_cast<std::size_t>(std::distance(fs::directory_iterator(directory_), fs::directory_iterator()));
  }

  fs::path directory_ = fs::temp_directory_path() / ("saltus-test-io-atomic-file-" + std::to_string(::getpid()));
};

/// Files of this process cannot grow beyond `bytes`: a full disk for tests.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) {
    ::getrlimit(RLIMIT_FSIZE, &before_);
    rlimit limit = before_;
    limit.rlim_cur = bytes;
    ::setrlimit(RLIMIT_FSIZE, &limit);
    handler_ = std::signal(SIGXFSZ, SIG_IGN);
  }
  ~FileSizeLimit() {
    ::setrlimit(RLIMIT_FSIZE, &before_);
    std::signal(SIGXFSZ, handler_);
  }

 private:
  rlimit before_;
  void (*handler_)(int);
};

TEST_F(IoAtomicFile, AppearsOnlyAtCommit) {
  AtomicFile file(path("a.txt"));
  file.write("first ");
  file.write("second");
  EXPECT_FALSE(fs::exists(path("a.txt")));
  EXPECT_TRUE(fs::exists(path(".a.txt.tmp-" + std::to_string(::getpid()))));
  file.commit();
  EXPECT_EQ(get("a.txt"), "first second");
  EXPECT_EQ(entries(), 1u);
}

TEST_F(IoAtomicFile, WithoutCommitNothingIsLeft) {
  put("old.txt", "old");
  {
    AtomicFile fresh(path("new.txt"));
    AtomicFile over(path("old.txt"));
    fresh.write("x");
    over.write("y");
  }
  EXPECT_EQ(get("old.txt"), "old");
  EXPECT_EQ(entries(), 1u);
}

TEST_F(IoAtomicFile, ContentsOfEverySize) {
  std::size_t const mebi = std::size_t{1} << 20;
  for (std::size_t const size : {std::size_t{0}, std::size_t{1}, mebi - 1, mebi, mebi + 1, 3 * mebi + 17}) {
    std::string text(size, '\0');
    for (std::size_t i = 0; i < size; ++i) text[i] = static_cast<char>((i * 2654435761u) >> 13);
    for (std::size_t const piece : {size + 1, std::size_t{65537}, mebi + 3}) {
      AtomicFile file(path("sized"));
      for (std::size_t at = 0; at < size; at += piece) file.write(std::string_view(text).substr(at, piece));
      file.commit();
      EXPECT_TRUE(get("sized") == text) << size << " in pieces of " << piece;
      EXPECT_TRUE(read_file(path("sized")) == text) << size;
    }
  }
  EXPECT_EQ(entries(), 1u);
}

TEST_F(IoAtomicFile, ReplacesAndKeepsPermissions) {
  put("old.txt", "a longer old text");
  fs::permissions(path("old.txt"), fs::perms(0640));
  AtomicFile file(path("old.txt"));
  file.write("new");
  file.commit();
  EXPECT_EQ(get("old.txt"), "new");
  EXPECT_EQ(fs::status(path("old.txt")).permissions(), fs::perms(0640));
}

TEST_F(IoAtomicFile, NewFileHonoursUmask) {
  mode_t const before = ::umask(027);
  AtomicFile file(path("new.txt"));
  file.commit();
  ::umask(before);
  EXPECT_EQ(fs::status(path("new.txt")).permissions(), fs::perms(0640));
}

TEST_F(IoAtomicFile, KeepsSymbolicLinks) {
  fs::create_directory(path("elsewhere"));
  put("elsewhere/real.txt", "old");
  fs::create_symlink("elsewhere/real.txt", path("link.txt"));
  AtomicFile file(path("link.txt"));
  file.write("new");
  file.commit();
  EXPECT_TRUE(fs::is_symlink(path("link.txt")));
  EXPECT_EQ(get("elsewhere/real.txt"), "new");
}

TEST_F(IoAtomicFile, RelativePath) {
  fs::path const before = fs::current_path();
  fs::current_path(directory_);
  AtomicFile file("bare.txt");
  file.write("x");
  file.commit();
  fs::current_path(before);
  EXPECT_EQ(get("bare.txt"), "x");
  EXPECT_EQ(entries(), 1u);
}

TEST_F(IoAtomicFile, LongestNameAndOneMore) {
  std::string const longest(255, 'n');
  AtomicFile file(path(longest));
  file.commit();
  EXPECT_TRUE(fs::exists(path(longest)));
  EXPECT_SAYS(message_of<OutputError>([&] { AtomicFile{path(longest + "n")}; }), "too long");
  EXPECT_EQ(entries(), 1u);
}

TEST_F(IoAtomicFile, TwoWritersDoNotMix) {
  std::string const stale = path(".a.txt.tmp-" + std::to_string(::getpid()));
  AtomicFile one(path("a.txt"));
  AtomicFile two(path("a.txt"));
  EXPECT_TRUE(fs::exists(stale));
  one.write("one");
  two.write("two");
  two.commit();
  EXPECT_EQ(get("a.txt"), "two");
  one.commit();
  EXPECT_EQ(get("a.txt"), "one");
  EXPECT_EQ(entries(), 1u);
}

TEST_F(IoAtomicFile, MovedFileIsCommittedOnce) {
  {
    std::vector<AtomicFile> files;
    {
      AtomicFile file(path("a.txt"));
      file.write("before ");
      files.push_back(std::move(file));
    }
    files[0].write("after");
    files[0].commit();
  }
  EXPECT_EQ(get("a.txt"), "before after");
  EXPECT_EQ(entries(), 1u);
}

TEST_F(IoAtomicFile, UseAfterCommitIsADefect) {
  AtomicFile file(path("a.txt"));
  file.commit();
  EXPECT_THROW(file.write("x"), InternalError);
  EXPECT_THROW(file.commit(), InternalError);
}

TEST_F(IoAtomicFile, RefusesWhatCannotBeOpened) {
  put("file", "x");
  struct Case {
    std::string target, part;
  };
  for (auto const& [target, part] : std::vector<Case>{{path("none/out.txt"), "No such file or directory"},
                                                      {path("file/out.txt"), "Not a directory"},
                                                      {directory_.string(), "Is a directory"},
                                                      {path("new/"), "No such file or directory"},
                                                      {"", "No such file or directory"},
                                                      {"/dev/fd/987654", "Bad file descriptor"}}) {
    auto const opened = message_of<OutputError>([&] { AtomicFile{target}; });
    EXPECT_SAYS(opened, part);
    EXPECT_SAYS(opened, "cannot write '" + target + "'");
    EXPECT_EQ(message_of<OutputError>([&] { check_writable(target); }), opened);
  }
  EXPECT_SAYS(message_of<OutputError>([&] { AtomicFile{path("none/out.txt")}; }),
              "make the directory '" + path("none"));
  EXPECT_EQ(entries(), 1u);
}

TEST_F(IoAtomicFile, RefusesWithoutPermission) {
  put("protected.txt", "x");
  fs::permissions(path("protected.txt"), fs::perms(0400));
  fs::create_directory(path("closed"));
  fs::permissions(path("closed"), fs::perms(0500));
  // Root may write everywhere: as nobody then.
  bool const root = ::geteuid() == 0;
  if (root) {
    ASSERT_EQ(::seteuid(65534), 0);
  }
  EXPECT_SAYS(message_of<OutputError>([&] { AtomicFile{path("protected.txt")}; }), "Permission denied");
  EXPECT_SAYS(message_of<OutputError>([&] { AtomicFile{path("closed/a")}; }), "Permission denied");
  if (root) {
    ASSERT_EQ(::seteuid(0), 0);
  }
}

TEST_F(IoAtomicFile, CheckWritableLeavesNothing) {
  put("old.txt", "old");
  check_writable(path("old.txt"));
  check_writable(path("new.txt"));
  check_writable("-");
  check_writable("/dev/full");
  EXPECT_EQ(get("old.txt"), "old");
  EXPECT_EQ(entries(), 1u);
  ASSERT_EQ(::mkfifo(path("pipe").c_str(), 0600), 0);
  check_writable(path("pipe"));  // must not wait for a reader
}

TEST_F(IoAtomicFile, FullDeviceAtCommit) {
  AtomicFile file("/dev/full");
  file.write("x");
  auto const message = message_of<OutputError>([&] { file.commit(); });
  EXPECT_EQ(message, "cannot write '/dev/full': No space left on device");
  EXPECT_EQ(fs::status("/dev/full").type(), fs::file_type::character);
}

TEST_F(IoAtomicFile, FullDeviceAtWrite) {
  AtomicFile file("/dev/full");
  EXPECT_THROW(file.write(std::string(std::size_t{2} << 20, 'x')), OutputError);
}

TEST_F(IoAtomicFile, FullDiskLeavesTheOldFile) {
  put("old.txt", "old");
  for (std::size_t const size : {std::size_t{300000}, std::size_t{3000000}}) {  // seen by commit() and by write()
    FileSizeLimit const limit(100000);
    auto const message = message_of<OutputError>([&] {
      AtomicFile file(path("old.txt"));
      file.write(std::string(size, 'x'));
      EXPECT_LT(size, std::size_t{1} << 20) << "write() let more pass than it buffers";
      file.commit();
    });
    EXPECT_SAYS(message, "cannot write '" + path("old.txt") + "': File too large");
  }
  EXPECT_EQ(get("old.txt"), "old");
  EXPECT_EQ(entries(), 1u);
}

TEST_F(IoAtomicFile, TargetThatBecomesADirectory) {
  AtomicFile file(path("a"));
  file.write("x");
  fs::create_directory(path("a"));
  EXPECT_SAYS(message_of<OutputError>([&] { file.commit(); }), "cannot write '" + path("a") + "'");
  EXPECT_EQ(entries(), 1u);
}

TEST_F(IoAtomicFile, Pipe) {
  ASSERT_EQ(::mkfifo(path("pipe").c_str(), 0600), 0);
  std::string const text(std::size_t{3} << 20, 'p');
  std::string got;
  std::thread reader([&] { got = read_file(path("pipe")); });
  {
    AtomicFile file(path("pipe"));
    file.write(text);
    file.commit();
  }
  reader.join();
  EXPECT_TRUE(got == text);
  EXPECT_EQ(fs::status(path("pipe")).type(), fs::file_type::fifo);
}

/// Redirected standard output: bytes are added where others stopped, and nothing in /dev is replaced.
TEST_F(IoAtomicFile, StandardOutput) {
  std::fflush(stdout);
  for (std::string const name : {"-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"}) {
    int const saved = ::dup(STDOUT_FILENO);
    int const redirected = ::open(path("out").c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    ASSERT_GE(redirected, 0);
    ::dup2(redirected, STDOUT_FILENO);
    ::close(redirected);
    bool ok = ::write(STDOUT_FILENO, "head ", 5) == 5;
    try {
      AtomicFile file(name);
      file.write("body ");
      file.commit();
    } catch (OutputError const&) {
      ok = false;
    }
    ok = ok && ::write(STDOUT_FILENO, "tail", 4) == 4;
    ::dup2(saved, STDOUT_FILENO);
    ::close(saved);
    EXPECT_TRUE(ok) << name;
    EXPECT_EQ(get("out"), "head body tail") << name;
  }
  EXPECT_EQ(entries(), 1u);
}

TEST_F(IoAtomicFile, ReadFileRefuses) {
  EXPECT_SAYS(message_of<UserError>([&] { read_file(path("none")); }), "No such file or directory");
  EXPECT_SAYS(message_of<UserError>([&] { read_file(path("none")); }), "'" + path("none") + "'");
  EXPECT_SAYS(message_of<UserError>([&] { read_file(directory_.string()); }), "it is a directory");
  EXPECT_THROW(read_file(""), UserError);
}

TEST_F(IoAtomicFile, ReadFileOfUnknownSize) {
  EXPECT_EQ(read_file("/dev/null"), "");
  EXPECT_SAYS(read_file("/proc/self/status"), "Pid:");  // its size is said to be 0
}

}  // namespace
}  // namespace saltus
