#include "activator/backend/process/protocol.hpp"

#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

namespace rouse::process {
namespace {

constexpr std::size_t most_descriptors = 8;

struct launch_head {
  std::uint32_t magic = protocol_magic;
  std::uint32_t arguments = 0;
  std::uint32_t variables = 0;
};

bool append(std::string& to, const std::string& text) {
  if (text.find('\0') != std::string::npos) return false;
  to.append(text.c_str(), text.size() + 1);
  return true;
}

/// Takes the next NUL-terminated string off `rest`; null when there is none.
char* take(std::string_view& rest) {
  const auto end = rest.find('\0');
  if (end == std::string_view::npos) return nullptr;
  // exec takes non-const pointers for historical reasons and does not write.
  char* text = const_cast<char*>(rest.data());
  rest.remove_prefix(end + 1);
  return text;
}

bool take_all(std::string_view& rest, std::uint32_t count, std::vector<char*>& to) {
  to.reserve(count + 1);
  for (std::uint32_t i = 0; i < count; ++i) {
    char* text = take(rest);
    if (text == nullptr) return false;
    to.push_back(text);
  }
  to.push_back(nullptr);
  return true;
}

void collect(msghdr& head, std::vector<descriptor>& into) {
  for (cmsghdr* c = CMSG_FIRSTHDR(&head); c != nullptr; c = CMSG_NXTHDR(&head, c)) {
    if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < count; ++i) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof fd);
      into.emplace_back(fd);
    }
  }
}

bool hung_up(int socket) {
  pollfd p{socket, POLLIN | POLLRDHUP, 0};
  return ::poll(&p, 1, 0) > 0 && (p.revents & (POLLHUP | POLLRDHUP | POLLERR)) != 0;
}

}  // namespace

std::optional<std::string> encode(const launch& what) {
  if (what.argv.empty()) return std::nullopt;
  launch_head head;
  head.arguments = static_cast<std::uint32_t>(what.argv.size());
  head.variables = static_cast<std::uint32_t>(what.env.size());
  std::string out(reinterpret_cast<const char*>(&head), sizeof head);
  if (!append(out, what.directory) || !append(out, what.search_path)) return std::nullopt;
  for (const auto& text : what.argv)
    if (!append(out, text)) return std::nullopt;
  for (const auto& text : what.env)
    if (!append(out, text)) return std::nullopt;
  return out;
}

std::optional<launch_view> decode(std::string_view bytes) {
  launch_head head;
  if (bytes.size() < sizeof head) return std::nullopt;
  std::memcpy(&head, bytes.data(), sizeof head);
  bytes.remove_prefix(sizeof head);
  // Every string takes at least its NUL, which bounds what the counts can make us allocate.
  if (head.magic != protocol_magic || head.arguments == 0 || head.arguments > bytes.size() ||
      head.variables > bytes.size())
    return std::nullopt;
  launch_view view;
  view.directory = take(bytes);
  view.search_path = view.directory != nullptr ? take(bytes) : nullptr;
  if (view.search_path == nullptr || !take_all(bytes, head.arguments, view.argv) ||
      !take_all(bytes, head.variables, view.env) || !bytes.empty())
    return std::nullopt;
  return view;
}

packet receive(int socket) {
  bool told_of_reset = false;
  for (;;) {
    packet got;
    alignas(cmsghdr) std::array<char, CMSG_SPACE(most_descriptors * sizeof(int))> control;
    iovec part{got.bytes.data(), got.bytes.size()};
    msghdr head{};
    head.msg_iov = &part;
    head.msg_iovlen = 1;
    head.msg_control = control.data();
    head.msg_controllen = control.size();
    got.size = ::recvmsg(socket, &head, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (got.size < 0 && errno == EINTR) continue;
    // The other side is gone and had not read all that it was sent. That is told first and once; its own last words,
    // such as how its instance ended, still wait behind.
    if (got.size < 0 && errno == ECONNRESET && !std::exchange(told_of_reset, true)) continue;
    if (got.size >= 0) collect(head, got.descriptors);
    if (got.size == 0 && !hung_up(socket)) continue;
    return got;
  }
}

bool send(int socket, const void* data, std::size_t size, std::initializer_list<int> descriptors) {
  iovec part{const_cast<void*>(data), size};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(most_descriptors * sizeof(int))> control{};
  msghdr head{};
  head.msg_iov = &part;
  head.msg_iovlen = 1;
  if (descriptors.size() > 0) {
    const std::size_t bytes = std::min(descriptors.size(), most_descriptors) * sizeof(int);
    head.msg_control = control.data();
    head.msg_controllen = CMSG_SPACE(bytes);
    cmsghdr* c = CMSG_FIRSTHDR(&head);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(bytes);
    std::memcpy(CMSG_DATA(c), descriptors.begin(), bytes);
  }
  for (;;) {
    if (::sendmsg(socket, &head, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0) return true;
    if (errno != EINTR) return false;
  }
}

}  // namespace rouse::process
