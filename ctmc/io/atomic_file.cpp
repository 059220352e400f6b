// SPDX-License-Identifier: BSD-3-Clause
#include <saltus/ctmc/io/atomic_file.hpp>

#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <utility>

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <saltus/ctmc/error.hpp>

namespace saltus {
namespace {

constexpr std::size_t buffer_bytes = std::size_t{1} << 20;

[[noreturn]] void refuse(std::string const& path, int error, std::string const& remedy = {}) {
  throw OutputError("cannot write '" + path + "': " + std::strerror(error) + (remedy.empty() ? "" : "; " + remedy));
}

std::string directory_of(std::string const& path) {
  auto const slash = path.rfind('/');
  return slash == std::string::npos ? "." : slash == 0 ? "/" : path.substr(0, slash);
}

/// The descriptor that a path names. Opening such a path anew would start at offset 0 of a redirected file, and a
/// temporary file beside it would be in /dev.
std::optional<int> descriptor_of(std::string_view path) {
  if (path == "-" || path == "/dev/stdout") return STDOUT_FILENO;
  if (path == "/dev/stderr") return STDERR_FILENO;
  for (std::string_view const prefix : {"/dev/fd/", "/proc/self/fd/"}) {
    if (!path.starts_with(prefix)) continue;
    int fd = -1;
    auto const digits = path.substr(prefix.size());
    auto const [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), fd);
    if (error == std::errc() && end == digits.data() + digits.size() && fd >= 0) return fd;
  }
  return std::nullopt;
}

/// Where a path leads to, behind its links; nothing, and errno, where nothing is.
std::optional<std::string> resolved(std::string const& path) {
  std::unique_ptr<char, decltype(&std::free)> const real(::realpath(path.c_str(), nullptr), &std::free);
  return real ? std::optional<std::string>(real.get()) : std::nullopt;
}

struct Destination {
  int fd = -1;                 ///< an open descriptor, or
  bool special = false;        ///< a pipe or device to be opened, or
  std::string target;          ///< a regular file to be replaced or made
  std::optional<mode_t> mode;  ///< permissions of the file that is replaced
};

/// Throws OutputError for all that can be seen without opening anything.
Destination destination_of(std::string const& path) {
  Destination destination;
  if (auto const fd = descriptor_of(path)) {
    int const flags = ::fcntl(*fd, F_GETFL);
    if (flags < 0) refuse(path, errno);
    if ((flags & O_ACCMODE) == O_RDONLY) refuse(path, EBADF);
    destination.fd = *fd;
    return destination;
  }
  struct stat status;
  if (::stat(path.c_str(), &status) != 0) {
    int const error = errno;
    std::string const directory = directory_of(path);
    struct stat parent;
    if (path.empty()) refuse(path, error, "give the name of a file");
    if (error != ENOENT) refuse(path, error);
    if (::stat(directory.c_str(), &parent) != 0) refuse(path, errno, "make the directory '" + directory + "' first");
    if (path.back() == '/') refuse(path, EISDIR, "give the name of a file in it");
    destination.target = path;
    return destination;
  }
  if (S_ISDIR(status.st_mode)) refuse(path, EISDIR, "give the name of a file in it");
  if (S_ISSOCK(status.st_mode)) refuse(path, ENXIO);
  // A rename would also replace a file that is write-protected.
  if (::faccessat(AT_FDCWD, path.c_str(), W_OK, AT_EACCESS) != 0) refuse(path, errno);
  if (!S_ISREG(status.st_mode)) {
    destination.special = true;
    return destination;
  }
  auto const target = resolved(path);
  if (!target) refuse(path, errno);
  destination.target = *target;
  destination.mode = status.st_mode & 07777;
  return destination;
}

// Brings the bytes to the disk; a file system that cannot say so is taken at its word. Errors in errno.
bool on_disk(int fd) { return ::fsync(fd) == 0 || errno == EINVAL || errno == ENOTSUP || errno == ENOSYS; }

}  // namespace

AtomicFile::AtomicFile(std::string path) : path_(std::move(path)) {
  Destination const destination = destination_of(path_);
  buffer_.reserve(buffer_bytes);
  if (destination.fd >= 0 || destination.special) {
    fd_ =
        destination.fd >= 0 ? ::fcntl(destination.fd, F_DUPFD_CLOEXEC, 3) : ::open(path_.c_str(), O_WRONLY | O_CLOEXEC);
    if (fd_ < 0) refuse(path_, errno);
    return;
  }
  target_ = destination.target;
  std::string const directory = directory_of(target_);
  std::string const name = target_.substr(target_.rfind('/') + 1);  // npos + 1 == 0
  // Shortened so that the longest possible file name has room for the rest.
  std::string const base = directory + "/." + name.substr(0, 200) + ".tmp-" + std::to_string(::getpid());
  // Taken names are passed over, not removed: another host may have this process number and write there.
  for (int attempt = 0; fd_ < 0; ++attempt) {
    temporary_ = attempt == 0 ? base : base + "-" + std::to_string(attempt);
    fd_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd_ < 0 && (errno != EEXIST || attempt == 1000)) {
      refuse(path_, errno, "no temporary file can be made in '" + directory + "'");
    }
  }
  if (destination.mode) (void)!::fchmod(fd_, *destination.mode);  // not possible on every file system: no matter
}

AtomicFile AtomicFile::open(std::string path, std::optional<std::uint64_t> kept) {
  return kept ? AtomicFile::kept(std::move(path), *kept) : AtomicFile(std::move(path));
}

std::string AtomicFile::partial_name(std::string const& path) {
  return resolved(path).value_or(path) + ".partial";
}

AtomicFile AtomicFile::kept(std::string path, std::uint64_t kept) {
  AtomicFile file;
  file.path_ = std::move(path);
  Destination const destination = destination_of(file.path_);
  require(destination.fd < 0 && !destination.special,
          "'" + file.path_ + "' is a pipe or a device: of it nothing can be kept; name a file");
  file.buffer_.reserve(buffer_bytes);
  file.target_ = destination.target;
  file.temporary_ = partial_name(file.target_);
  file.keep_ = true;
  file.fd_ = ::open(file.temporary_.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | (kept > 0 ? 0 : O_TRUNC), 0666);
  if (file.fd_ < 0) refuse(file.temporary_, errno);
  struct stat status;
  if (::fstat(file.fd_, &status) != 0) refuse(file.temporary_, errno);
  require(static_cast<std::uint64_t>(status.st_size) >= kept,
          "'" + file.temporary_ + "' should have at least " + std::to_string(kept) + " bytes, and has " +
              std::to_string(status.st_size) + ": it is not that of the run to go on with");
  if (::ftruncate(file.fd_, static_cast<off_t>(kept)) != 0 || ::lseek(file.fd_, 0, SEEK_END) < 0)
    refuse(file.temporary_, errno);
  if (destination.mode) (void)!::fchmod(file.fd_, *destination.mode);
  return file;
}

std::uint64_t AtomicFile::sync() {
  SALTUS_ASSERT(fd_ >= 0);
  flush();
  if (!on_disk(fd_)) fail(errno);
  off_t const size = ::lseek(fd_, 0, SEEK_CUR);
  if (size < 0) fail(errno);
  return static_cast<std::uint64_t>(size);
}

void AtomicFile::rewrite_start(std::string_view bytes) {
  SALTUS_ASSERT(fd_ >= 0 && rewritable());
  flush();
  if (::lseek(fd_, 0, SEEK_SET) < 0) fail(errno);
  send(bytes);
  if (::lseek(fd_, 0, SEEK_END) < 0) fail(errno);
}

AtomicFile::AtomicFile(AtomicFile&& other) noexcept
    : path_(other.path_),
      target_(std::move(other.target_)),
      temporary_(std::exchange(other.temporary_, {})),
      buffer_(std::move(other.buffer_)),
      fd_(std::exchange(other.fd_, -1)),
      keep_(other.keep_) {}

void AtomicFile::write(std::string_view bytes) {
  SALTUS_ASSERT(fd_ >= 0);
  if (buffer_.size() + bytes.size() > buffer_bytes) {
    flush();
    if (bytes.size() >= buffer_bytes) return send(bytes);
  }
  buffer_ += bytes;
}

void AtomicFile::commit() {
  SALTUS_ASSERT(fd_ >= 0);
  flush();
  if (!temporary_.empty() && !on_disk(fd_)) fail(errno);
  // Some file systems report lost writes only here.
  if (::close(std::exchange(fd_, -1)) != 0 && errno != EINTR) fail(errno);
  if (temporary_.empty()) return;
  if (::rename(temporary_.c_str(), target_.c_str()) != 0) fail(errno);
  temporary_.clear();
  // The name survives a power cut too; where directories cannot be synchronised the file is still in its place.
  int const directory = ::open(directory_of(target_).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (directory >= 0) {
    (void)!::fsync(directory);
    ::close(directory);
  }
}

void AtomicFile::flush() {
  send(buffer_);
  buffer_.clear();
}

void AtomicFile::send(std::string_view bytes) {
  while (!bytes.empty()) {
    ssize_t const sent = ::write(fd_, bytes.data(), bytes.size());
    if (sent >= 0) {
      bytes.remove_prefix(static_cast<std::size_t>(sent));
    } else if (errno == EAGAIN) {  // a standard output that somebody made non-blocking
      pollfd wait{fd_, POLLOUT, 0};
      ::poll(&wait, 1, -1);
    } else if (errno != EINTR) {
      fail(errno);
    }
  }
}

void AtomicFile::fail(int error) {
  discard();
  refuse(path_, error);
}

void AtomicFile::discard() noexcept {
  if (fd_ >= 0) ::close(std::exchange(fd_, -1));
  if (!temporary_.empty() && !keep_) ::unlink(temporary_.c_str());
  temporary_.clear();
}

void check_writable(std::string const& path) {
  Destination const destination = destination_of(path);
  if (destination.fd < 0 && !destination.special) AtomicFile{path};
}

std::string read_file(std::string const& path) {
  auto const refuse_reading = [&](std::string const& why) { throw UserError("cannot read '" + path + "': " + why); };
  int const fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) refuse_reading(std::string(std::strerror(errno)) + "; give the name of an existing, readable file");
  struct Closer {
    int fd;
    ~Closer() { ::close(fd); }
  } const closer{fd};
  struct stat status;
  if (::fstat(fd, &status) != 0) refuse_reading(std::strerror(errno));
  if (S_ISDIR(status.st_mode)) refuse_reading("it is a directory; give the name of a file in it");

  std::string bytes;
  std::size_t filled = 0;
  // One byte more than the size, so that the end of the file is seen without growing.
  if (S_ISREG(status.st_mode)) bytes.resize(static_cast<std::size_t>(status.st_size) + 1);
  for (;;) {
    if (filled == bytes.size()) bytes.resize(bytes.size() * 2 + 65536);
    ssize_t const got = ::read(fd, bytes.data() + filled, bytes.size() - filled);
    if (got == 0) break;
    if (got < 0 && errno != EINTR) refuse_reading(std::strerror(errno));
    if (got > 0) filled += static_cast<std::size_t>(got);
  }
  bytes.resize(filled);
  return bytes;
}

}  // namespace saltus
