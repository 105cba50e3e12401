#include "activator/backend/process/listeners.hpp"

#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <memory>

#include "activator/backend/process/descriptor.hpp"
#include "activator/backend/process/process_tree.hpp"

namespace rouse::process {
namespace {

constexpr std::array<std::uint8_t, 16> v6_loopback{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1};

std::string_view next_field(std::string_view& line) {
  line.remove_prefix(std::min(line.find_first_not_of(' '), line.size()));
  const auto end = std::min(line.find(' '), line.size());
  const auto field = line.substr(0, end);
  line.remove_prefix(end);
  return field;
}

/// "0100007F:1F90": words of the address as the kernel holds them, printed as numbers of this machine; the port as a
/// number.
bool parse_address(std::string_view text, bool v6, router::address& to) {
  const std::size_t words = v6 ? 4 : 1;
  if (text.size() != words * 8 + 5 || text[words * 8] != ':') return false;
  for (std::size_t i = 0; i < words; ++i) {
    std::uint32_t word = 0;
    const char* at = text.data() + i * 8;
    if (std::from_chars(at, at + 8, word, 16).ptr != at + 8) return false;
    std::memcpy(to.bytes.data() + i * 4, &word, 4);
  }
  to.v6 = v6;
  const char* port = text.data() + words * 8 + 1;
  return std::from_chars(port, port + 4, to.port, 16).ptr == port + 4;
}

/// One line of /proc/net/tcp: number, local, remote, state, queues, timer, retransmits, uid, timeout, inode, ...
enum class line_kind { listener, other_state, noise };
line_kind parse_line(std::string_view line, bool v6, listener& to) {
  if (next_field(line).find(':') == std::string_view::npos) return line_kind::noise;
  const auto local = next_field(line);
  next_field(line);
  if (next_field(line) != "0A") return line_kind::other_state;
  for (int skipped = 0; skipped < 5; ++skipped) next_field(line);
  const auto inode = next_field(line);
  if (!parse_address(local, v6, to.where)) return line_kind::noise;
  return std::from_chars(inode.data(), inode.data() + inode.size(), to.inode).ec == std::errc{} ? line_kind::listener
                                                                                                : line_kind::noise;
}

void read_listeners(const char* path, bool v6, std::vector<listener>& to) {
  const descriptor file(::open(path, O_RDONLY | O_CLOEXEC));
  if (!file) return;
  std::array<char, 8192> part;
  std::string text;
  for (;;) {
    const ssize_t n = ::read(file.get(), part.data(), part.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return;
    text.append(part.data(), static_cast<std::size_t>(n));
    const auto end = text.rfind('\n');
    if (end == std::string::npos) continue;
    if (!parse_listeners(std::string_view(text).substr(0, end + 1), v6, to)) return;
    text.erase(0, end + 1);
  }
}

struct close_directory {
  void operator()(DIR* dir) const noexcept { ::closedir(dir); }
};

/// Calls `visit` with the inode of each socket that `pid` has open until it returns false. False when they may not be
/// read.
template <class Visit>
bool visit_sockets(pid_t pid, Visit visit) {
  const std::string path = "/proc/" + std::to_string(pid) + "/fd";
  const std::unique_ptr<DIR, close_directory> dir(::opendir(path.c_str()));
  if (!dir) return errno != EACCES && errno != EPERM;
  constexpr std::string_view prefix = "socket:[";
  std::array<char, 64> target;
  while (const dirent* entry = ::readdir(dir.get())) {
    const ssize_t n = ::readlinkat(::dirfd(dir.get()), entry->d_name, target.data(), target.size());
    if (n < 0 && (errno == EACCES || errno == EPERM)) return false;
    if (n <= 0) continue;
    std::string_view text(target.data(), static_cast<std::size_t>(n));
    if (!text.starts_with(prefix)) continue;
    text.remove_prefix(prefix.size());
    std::uint64_t inode = 0;
    std::from_chars(text.data(), text.data() + text.size(), inode);
    if (!visit(inode)) return true;
  }
  return true;
}

/// How well a listener fits a connection to the loopback address: the kernel prefers an exact address, then the
/// caller's own family, then an IPv6 wildcard that takes IPv4 as well; 0: not at all.
int fitness(const router::address& where, bool v6) {
  const bool wildcard = std::all_of(where.bytes.begin(), where.bytes.end(), [](std::uint8_t b) { return b == 0; });
  if (v6) {
    if (!where.v6) return 0;
    return where.bytes == v6_loopback ? 3 : wildcard ? 2 : 0;
  }
  if (where.v6) {
    constexpr std::array<std::uint8_t, 16> mapped{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 127, 0, 0, 1};
    return where.bytes == mapped ? 3 : wildcard ? 1 : 0;
  }
  const bool loopback = where.bytes[0] == 127 && where.bytes[1] == 0 && where.bytes[2] == 0 && where.bytes[3] == 1;
  return loopback ? 3 : wildcard ? 2 : 0;
}

}  // namespace

bool parse_listeners(std::string_view text, bool v6, std::vector<listener>& to) {
  while (!text.empty()) {
    const auto end = std::min(text.find('\n'), text.size());
    listener found;
    const line_kind kind = parse_line(text.substr(0, end), v6, found);
    if (kind == line_kind::other_state) return false;
    if (kind == line_kind::listener) to.push_back(found);
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return true;
}

std::vector<listener> listening(std::optional<std::uint16_t> port) {
  std::vector<listener> found;
  read_listeners("/proc/net/tcp", false, found);
  read_listeners("/proc/net/tcp6", true, found);
  if (port) std::erase_if(found, [&](const listener& l) { return l.where.port != *port; });
  return found;
}

std::optional<std::uint64_t> accepting_socket(std::uint16_t port, bool v6) {
  const descriptor diag(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG));
  if (!diag) return std::nullopt;
  struct {
    nlmsghdr head;
    inet_diag_req_v2 query;
  } request{};
  request.head.nlmsg_len = sizeof request;
  request.head.nlmsg_type = SOCK_DIAG_BY_FAMILY;
  request.head.nlmsg_flags = NLM_F_REQUEST;
  request.query.sdiag_family = v6 ? AF_INET6 : AF_INET;
  request.query.sdiag_protocol = IPPROTO_TCP;
  request.query.idiag_states = 1U << 10;  // TCP_LISTEN
  // From port 0 of the same address no connection can be, so what the kernel finds is a listener.
  auto& id = request.query.id;
  id.idiag_sport = htons(port);
  id.idiag_cookie[0] = id.idiag_cookie[1] = INET_DIAG_NOCOOKIE;
  if (v6) {
    std::memcpy(id.idiag_src, v6_loopback.data(), 16);
    std::memcpy(id.idiag_dst, v6_loopback.data(), 16);
  } else {
    id.idiag_src[0] = id.idiag_dst[0] = htonl(INADDR_LOOPBACK);
  }
  // The kernel answers within send(), so nothing here waits.
  alignas(nlmsghdr) std::array<char, 2048> answer;
  if (::send(diag.get(), &request, sizeof request, MSG_DONTWAIT) < 0) return std::nullopt;
  const ssize_t n = ::recv(diag.get(), answer.data(), answer.size(), MSG_DONTWAIT);
  if (n < static_cast<ssize_t>(sizeof(nlmsghdr))) return std::nullopt;
  nlmsghdr head;
  std::memcpy(&head, answer.data(), sizeof head);
  // An error says that there is no such socket, or that this kernel cannot tell: both with ENOENT. The slow way tells
  // which.
  if (head.nlmsg_type != SOCK_DIAG_BY_FAMILY || n < static_cast<ssize_t>(NLMSG_LENGTH(sizeof(inet_diag_msg))))
    return std::nullopt;
  inet_diag_msg found;
  std::memcpy(&found, answer.data() + NLMSG_HDRLEN, sizeof found);
  return found.idiag_inode;
}

std::vector<std::uint64_t> accepting_sockets_by_list(std::uint16_t port, bool v6) {
  int best = 0;
  std::vector<std::uint64_t> inodes;
  for (const auto& found : listening(port)) {
    const int fit = fitness(found.where, v6);
    if (fit == 0 || fit < best) continue;
    if (fit > best) inodes.clear();
    best = fit;
    inodes.push_back(found.inode);
  }
  return inodes;
}

ownership who_accepts(std::uint16_t port, bool v6, pid_t root) {
  const auto socket = accepting_socket(port, v6);
  const std::vector<std::uint64_t> inodes = socket ? std::vector{*socket} : accepting_sockets_by_list(port, v6);
  if (inodes.empty()) return {};
  bool all_seen = true;
  bool ours = false;
  visit_descendants(root, [&](pid_t pid) {
    const bool readable = visit_sockets(pid, [&](std::uint64_t inode) {
      ours = std::find(inodes.begin(), inodes.end(), inode) != inodes.end();
      return !ours;
    });
    all_seen = all_seen && readable;
    return !ours;
  });
  return {ours ? owner::ours : all_seen ? owner::foreign : owner::unknown, inodes.front()};
}

std::vector<router::address> listening_below(pid_t root) {
  const auto all = listening();
  std::vector<router::address> found;
  visit_descendants(root, [&](pid_t pid) {
    visit_sockets(pid, [&](std::uint64_t inode) {
      for (const auto& l : all)
        if (l.inode == inode && std::none_of(found.begin(), found.end(), [&](const router::address& a) {
              return a.port == l.where.port && a.v6 == l.where.v6 && a.bytes == l.where.bytes;
            }))
          found.push_back(l.where);
      return true;
    });
    return true;
  });
  return found;
}

std::string to_string(const router::address& where) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  ::inet_ntop(where.v6 ? AF_INET6 : AF_INET, where.bytes.data(), text.data(), text.size());
  const std::string host(text.data());
  return (where.v6 ? "[" + host + "]" : host) + ":" + std::to_string(where.port);
}

}  // namespace rouse::process
