#include "gateway/owner_name.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <random>
#include <system_error>

namespace rouse::gateway {

namespace {

constexpr std::size_t digits = 32;

std::string random_name() {
  std::random_device random;
  std::string out;
  while (out.size() < digits) out.push_back("0123456789abcdef"[random() & 15U]);
  return out;
}

bool is_name(const std::string& text) {
  return text.size() == digits && text.find_first_not_of("0123456789abcdef") == std::string::npos;
}

}  // namespace

owner_name::owner_name(const std::string& data_dir) : name_(random_name()) {
  take(data_dir);
}

void owner_name::take(const std::string& folder) {
  const std::string path = folder + "/owner";
  std::error_code ignored;
  std::filesystem::create_directories(folder, ignored);
  const auto fail = [&] { problem_ = path + ": " + std::strerror(errno); };
  file_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (file_ < 0) return fail();
  if (::flock(file_, LOCK_EX | LOCK_NB) != 0) {
    problem_ = folder + " is in use by another rouse: each needs a data_dir of its own";
    return;
  }
  std::array<char, 2 * digits> text{};
  const ssize_t size = ::pread(file_, text.data(), text.size(), 0);
  std::string kept(text.data(), static_cast<std::size_t>(std::max<ssize_t>(size, 0)));
  while (!kept.empty() && kept.back() == '\n') kept.pop_back();
  if (is_name(kept)) {
    name_ = kept;
    return;
  }
  const std::string line = name_ + "\n";
  if (::ftruncate(file_, 0) != 0 || ::pwrite(file_, line.data(), line.size(), 0) != static_cast<ssize_t>(line.size()) ||
      ::fdatasync(file_) != 0)
    fail();
}

owner_name::~owner_name() {
  if (file_ >= 0) ::close(file_);
}

}  // namespace rouse::gateway
