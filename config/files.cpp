#include "config/files.hpp"

#include <fcntl.h>
#include <glob.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "config/text.hpp"

namespace rouse::config {
namespace {

class descriptor {
 public:
  explicit descriptor(int fd) : fd_(fd) {}
  ~descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  descriptor(const descriptor&) = delete;
  descriptor& operator=(const descriptor&) = delete;
  [[nodiscard]] int get() const { return fd_; }

 private:
  int fd_;
};

std::string system_error(int code) {
  switch (code) {
    case ENOENT:
      return "the file does not exist: check the name";
    case EACCES:
      return "the file cannot be read: permission denied";
    default:
      return std::string("the file cannot be read: ") + std::strerror(code);
  }
}

/// `text` so that glob(3) takes it literally.
std::string escaped(std::string_view text) {
  std::string out;
  for (char c : text) {
    if (std::string_view("*?[]\\").find(c) != std::string_view::npos) out += '\\';
    out += c;
  }
  return out;
}

}  // namespace

parsed<std::string> read_file(const std::string& path) {
  auto fail = [](std::string why) { return parsed<std::string>{std::nullopt, std::move(why)}; };
  descriptor const file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (file.get() < 0) return fail(system_error(errno));
  struct stat status {};
  if (::fstat(file.get(), &status) == 0 && S_ISDIR(status.st_mode)) {
    return fail("this is a directory, not a file: name the file in it");
  }
  std::string out;
  std::string chunk(64UL * 1024, '\0');
  while (true) {
    ssize_t const count = ::read(file.get(), chunk.data(), chunk.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return fail(system_error(errno));
    if (count == 0) return {std::move(out), {}};
    out.append(chunk, 0, static_cast<std::size_t>(count));
    if (out.size() > largest_file)
      return fail("the file is larger than " + format_size(largest_file) + ": split it with `include`");
  }
}

parsed<std::vector<std::string>> find_included(const std::string& folder, const std::string& pattern) {
  using result = parsed<std::vector<std::string>>;
  bool const absolute = !pattern.empty() && pattern.front() == '/';
  if (pattern.find_first_of("*?[") == std::string::npos) {
    return {std::vector<std::string>{absolute ? pattern : folder + "/" + pattern}, {}};
  }
  if (pattern.find("**") != std::string::npos) {
    return result{std::nullopt,
                  "is " + shown(pattern) + ", but `**` is not supported: write one pattern for each level of folders"};
  }
  glob_t found{};
  int const code = ::glob((absolute ? pattern : escaped(folder) + "/" + pattern).c_str(), GLOB_NOSORT, nullptr, &found);
  std::vector<std::string> paths(found.gl_pathv, found.gl_pathv + found.gl_pathc);
  ::globfree(&found);
  if (code != 0 && code != GLOB_NOMATCH)
    return result{std::nullopt, "is " + shown(pattern) + ", which could not be looked up"};
  // glob's own order depends on the locale.
  std::sort(paths.begin(), paths.end());
  return {std::move(paths), {}};
}

}  // namespace rouse::config
