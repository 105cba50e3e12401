#include "activator/backend/process/http_probe.hpp"

#include <boost/asio/buffer.hpp>
#include <boost/asio/write.hpp>

#include <charconv>
#include <utility>

#include "activator/backend/process/listeners.hpp"

namespace rouse::process {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;

constexpr std::size_t most_head = 16 * 1024;
constexpr std::size_t most_read = 256 * 1024;
constexpr auto discard_for = std::chrono::seconds(1);

/// Of "HTTP/1.1 200 OK": 200, or -1.
int status_of(std::string_view line) {
  if (line.size() < 12 || !(line.starts_with("HTTP/1.1 ") || line.starts_with("HTTP/1.0 "))) return -1;
  int status = 0;
  const auto [end, error] = std::from_chars(line.data() + 9, line.data() + 12, status);
  if (error != std::errc{} || end != line.data() + 12 || status < 100) return -1;
  return line.size() == 12 || line[12] == ' ' ? status : -1;
}

}  // namespace

int final_status(std::string& head) {
  for (;;) {
    const auto end = head.find("\r\n");
    if (end == std::string::npos) return head.size() > most_head ? -1 : 0;
    const int status = status_of(std::string_view(head).substr(0, end));
    if (status < 0 || status >= 200 || status == 101) return status;
    const auto blank = head.find("\r\n\r\n");
    if (blank == std::string::npos) return head.size() > most_head ? -1 : 0;
    head.erase(0, blank + 4);
  }
}

std::shared_ptr<http_probe> http_probe::begin(asio::io_context& control, descriptor connected,
                                              const router::address& where, std::string_view path,
                                              std::chrono::milliseconds timeout, handler done) {
  auto probe = std::make_shared<http_probe>(control, std::move(connected), where.v6, std::move(done));
  probe->request_ = "GET " + std::string(path) + " HTTP/1.1\r\nHost: " + to_string(where) +
                    "\r\nUser-Agent: rouse\r\nAccept: */*\r\nConnection: close\r\n\r\n";
  probe->deadline_.expires_after(timeout);
  probe->deadline_.async_wait([probe](const error_code& error) {
    if (!error) probe->finish({0, "did not answer in time"});
    if (!error) probe->close();
  });
  probe->write();
  return probe;
}

http_probe::http_probe(asio::io_context& control, descriptor connected, bool v6, handler done)
    : socket_(control, v6 ? asio::ip::tcp::v6() : asio::ip::tcp::v4(), connected.release()),
      deadline_(control),
      done_(std::move(done)) {}

void http_probe::write() {
  asio::async_write(socket_, asio::buffer(request_), [self = shared_from_this()](const error_code& error, std::size_t) {
    if (!error) return self->read();
    self->finish({0, "closed the connection"});
    self->close();
  });
}

void http_probe::read() {
  socket_.async_read_some(asio::buffer(part_), [self = shared_from_this()](const error_code& error, std::size_t count) {
    if (!error) return self->on_bytes(count);
    self->finish({0, "closed the connection"});
    self->close();
  });
}

void http_probe::on_bytes(std::size_t count) {
  read_ += count;
  if (done_) {
    head_.append(part_.data(), count);
    const int status = final_status(head_);
    if (status < 0) {
      finish({0, "answered something that is not HTTP"});
      return close();
    }
    if (status > 0) {
      // The rest is read only for the function's sake, and not for long.
      deadline_.expires_after(discard_for);
      deadline_.async_wait([self = shared_from_this()](const error_code& error) {
        if (!error) self->close();
      });
      finish({status, {}});
    }
  }
  if (read_ > most_read) return close();
  read();
}

void http_probe::finish(answer with) {
  if (const auto done = std::exchange(done_, nullptr)) done(std::move(with));
}

void http_probe::cancel() {
  done_ = nullptr;
  close();
}

void http_probe::close() {
  error_code ignored;
  socket_.close(ignored);
  deadline_.cancel();
}

}  // namespace rouse::process
