#include "activator/backend/http/client.hpp"

#include <boost/asio/error.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>

#include <algorithm>
#include <array>
#include <deque>
#include <set>
#include <utility>
#include <vector>

#include "activator/backend/http/transport.hpp"

namespace rouse::backend_http {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;
using clock = std::chrono::steady_clock;

constexpr std::size_t bytes_per_read = 64 * 1024;

std::string in_words(std::chrono::milliseconds time) {
  return time.count() % 1000 == 0 ? std::to_string(time.count() / 1000) + " s" : std::to_string(time.count()) + " ms";
}

bool is_idempotent(const std::string& method) {
  constexpr std::array<std::string_view, 5> all{"GET", "HEAD", "PUT", "DELETE", "OPTIONS"};
  return std::find(all.begin(), all.end(), method) != all.end();
}

/// Whether the text may stand in a head: nothing that ends a line, and where `word`, no space either.
bool is_clean(std::string_view text, bool word) {
  return std::none_of(text.begin(), text.end(), [&](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return byte == 0x7f || (byte < 0x20 && c != '\t') || (word && byte <= 0x20);
  });
}

void append_fields(std::string& to, const header_list& fields, const header_list& unless) {
  for (const auto& [name, value] : fields)
    if (find_header(unless, name).empty()) to += name + ": " + value + "\r\n";
}

}  // namespace

struct client::impl : std::enable_shared_from_this<client::impl> {
  impl(asio::io_context& context, client_settings from) : io(context), settings(std::move(from)), sweep(context) {
    if (settings.to.scheme == origin::kind::https) tls = make_tls(settings.tls);
  }

  /// A kept connection that seems alive, or none.
  std::shared_ptr<transport> take_idle();
  void keep(std::shared_ptr<transport> connection);
  void sweep_later();
  void begin(const std::shared_ptr<exchange>& what);
  void ended(exchange& what);
  void close();

  struct kept {
    std::shared_ptr<transport> connection;
    clock::time_point since;
  };

  asio::io_context& io;
  client_settings settings;
  std::shared_ptr<tls_context> tls;
  std::vector<kept> idle;  ///< the last one was used last
  asio::steady_timer sweep;
  bool sweeping = false;
  std::size_t open = 0;  ///< ordinary exchanges that have a connection, or are getting one
  std::deque<std::weak_ptr<exchange>> waiting;
  std::set<std::shared_ptr<exchange>> all;
};

/// One request and its response. Its handlers in the context's queue keep it alive, the user's are dropped at its end.
class exchange : public std::enable_shared_from_this<exchange> {
 public:
  exchange(const std::shared_ptr<client::impl>& owner, request what)
      : owner_(owner), what_(std::move(what)), deadline_(owner->io) {}

  std::function<void(response)> done;
  stream_handlers handlers;
  bool streams = false;
  bool counted = false;  ///< among the owner's `open`

  void begin();
  void go();
  void cancel();
  void pause() { paused_ = true; }
  void resume() {
    if (std::exchange(paused_, false) && reading_due_ && !over_) read();
  }
  [[nodiscard]] bool over() const noexcept { return over_; }

 private:
  std::string make_head(const client::impl& owner) const;
  std::string bad_request(const client::impl& owner) const;
  void connect();
  void on_connected(dialled got);
  void write();
  void read();
  void on_read(const error_code& error, std::size_t count);
  void on_bytes();
  void hand_on();
  void on_broken(const error_code& error);
  bool try_again();
  void watch();
  void on_deadline();
  void succeed();
  void fail(fault why, std::string problem);
  /// Takes it out of the owner's books; nothing follows. The connection is kept or closed.
  void close(bool keep);

  std::weak_ptr<client::impl> owner_;
  const request what_;
  asio::steady_timer deadline_;
  clock::time_point due_ = clock::time_point::max();
  clock::time_point begun_;
  std::shared_ptr<dialling> dial_;
  std::shared_ptr<transport> connection_;
  std::unique_ptr<response_reader> reader_;
  std::string head_;
  std::vector<char> part_;
  bool reused_ = false;
  bool written_ = false;
  bool again_ = false;     ///< it was sent a second time
  bool any_byte_ = false;  ///< of the answer
  bool head_told_ = false;
  bool paused_ = false;
  bool reading_due_ = false;  ///< a pause is what keeps it from reading
  bool over_ = false;
};

// --- the exchange ----------------------------------------------------------------------------------------------------

void exchange::begin() {
  const auto owner = owner_.lock();
  begun_ = clock::now();
  due_ = begun_ + what_.timeout;
  std::string problem = bad_request(*owner);
  if (!problem.empty()) {
    asio::post(owner->io,
               [self = shared_from_this(), problem = std::move(problem)] { self->fail(fault::unreachable, problem); });
    return;
  }
  watch();
  head_ = make_head(*owner);
  if (streams) return go();
  owner->begin(shared_from_this());
}

std::string exchange::bad_request(const client::impl& owner) const {
  if (!is_clean(what_.method, true) || !is_clean(what_.target, true) || what_.target.empty())
    return "the request " + what_.method + " cannot be sent: there is a character in its target that must be encoded";
  for (const auto* list : {&what_.headers, &owner.settings.headers})
    for (const auto& [name, value] : *list)
      if (!is_clean(name, true) || !is_clean(value, false))
        return "the request cannot be sent: the value of its field " + name + " has a line end or a control character";
  return {};
}

std::string exchange::make_head(const client::impl& owner) const {
  std::string text = what_.method + " " + what_.target + " HTTP/1.1\r\nHost: " + authority(owner.settings.to) + "\r\n";
  if (find_header(what_.headers, "user-agent").empty() && find_header(owner.settings.headers, "user-agent").empty())
    text += "User-Agent: rouse\r\n";
  append_fields(text, what_.headers, {});
  append_fields(text, owner.settings.headers, what_.headers);
  const bool may_have_body = what_.method != "GET" && what_.method != "HEAD" && what_.method != "DELETE";
  if (!what_.body.empty() || may_have_body) text += "Content-Length: " + std::to_string(what_.body.size()) + "\r\n";
  return text + "\r\n" + what_.body;
}

/// There is room for a connection.
void exchange::go() {
  const auto owner = owner_.lock();
  if (!owner || over_) return;
  if (!streams && !again_) connection_ = owner->take_idle();
  if (!connection_) return connect();
  reused_ = true;
  write();
}

void exchange::connect() {
  const auto owner = owner_.lock();
  if (!owner) return;
  reused_ = false;
  dial_ = dial(owner->io, owner->settings.to, owner->tls, [weak = weak_from_this()](dialled got) {
    if (const auto self = weak.lock()) self->on_connected(std::move(got));
  });
}

void exchange::on_connected(dialled got) {
  if (over_) {
    if (got.to) got.to->close();
    return;
  }
  dial_.reset();
  if (!got.to) return fail(fault::unreachable, std::move(got.problem));
  connection_ = std::move(got.to);
  write();
}

void exchange::write() {
  reader_ = std::make_unique<response_reader>(what_.method == "HEAD");
  // A server may answer before it has read everything, and close: then what it said counts, so reading begins now.
  written_ = false;
  connection_->write(head_.data(), head_.size(),
                     [self = shared_from_this()](const error_code& error, std::size_t) { self->written_ = !error; });
  read();
}

void exchange::read() {
  reading_due_ = false;
  if (part_.empty()) part_.resize(streams ? bytes_per_read : bytes_per_read / 4);
  connection_->read_some(part_.data(), part_.size(),
                         [self = shared_from_this(), from = connection_](const error_code& error, std::size_t count) {
                           if (!self->over_ && self->connection_ == from) self->on_read(error, count);
                         });
}

void exchange::on_read(const error_code& error, std::size_t count) {
  if (error == asio::error::eof && any_byte_) {
    if (!reader_->push_end())
      return fail(fault::broken, describe(owner_.lock()->settings.to) + " " + reader_->problem());
    return on_bytes();
  }
  if (error) return on_broken(error);
  any_byte_ = true;
  if (!reader_->push({part_.data(), count}))
    return fail(fault::broken, describe(owner_.lock()->settings.to) + " " + reader_->problem());
  on_bytes();
}

void exchange::on_bytes() {
  if (streams) {
    hand_on();
    if (over_) return;
  } else if (reader_->body().size() > what_.most_body) {
    return fail(fault::too_big, "the answer of " + describe(owner_.lock()->settings.to) + " to " + what_.method + " " +
                                    what_.target + " is longer than " + std::to_string(what_.most_body) + " bytes");
  }
  if (reader_->is_done()) return succeed();
  if (paused_) {
    reading_due_ = true;
  } else {
    read();
  }
}

/// Of a stream. Any handler may cancel it, or destroy the client.
void exchange::hand_on() {
  const auto self = shared_from_this();
  if (reader_->has_head() && !std::exchange(head_told_, true)) {
    const auto tell = handlers.on_head;
    if (tell) tell(reader_->status(), reader_->headers());
  }
  if (over_ || !head_told_) return;
  due_ = what_.silence.count() > 0 ? clock::now() + what_.silence : clock::time_point::max();
  watch();
  std::string bytes;
  bytes.swap(reader_->body());
  if (bytes.empty()) return;
  const auto tell = handlers.on_data;
  if (tell) tell(bytes);
}

void exchange::on_broken(const error_code& error) {
  if (try_again()) return;
  const std::string whom = describe(owner_.lock()->settings.to);
  if (error == asio::error::eof) return fail(fault::broken, whom + " closed the connection without an answer");
  fail(fault::broken, "the connection to " + whom + " broke: " + error.message());
}

/// A kept connection may have been closed by the other side at the very moment that it was used.
bool exchange::try_again() {
  if (!reused_ || any_byte_ || again_ || !(what_.repeatable || is_idempotent(what_.method))) return false;
  again_ = true;
  connection_->close();
  connection_.reset();
  connect();
  return true;
}

/// One wait at a time: it looks again at what is due then.
void exchange::watch() {
  if (due_ == clock::time_point::max()) return;
  if (deadline_.expiry() > clock::now() && deadline_.expiry() <= due_) return;
  deadline_.expires_at(due_);
  deadline_.async_wait([weak = weak_from_this()](const error_code& error) {
    if (const auto self = weak.lock(); self && !error) self->on_deadline();
  });
}

void exchange::on_deadline() {
  if (over_) return;
  if (clock::now() < due_) return watch();
  const auto owner = owner_.lock();
  const std::string whom = describe(owner->settings.to);
  if (head_told_) return fail(fault::timeout, whom + " said nothing for " + in_words(what_.silence));
  const std::string within = " within " + in_words(what_.timeout);
  if (!connection_) return fail(fault::unreachable, "no connection to " + whom + within);
  fail(fault::timeout, whom + " did not answer " + what_.method + " " + what_.target + within);
}

void exchange::succeed() {
  const auto self = shared_from_this();
  response got;
  got.status = reader_->status();
  got.headers = std::move(reader_->headers());
  got.body = std::move(reader_->body());
  close(written_ && reader_->keep_alive() && !reader_->surplus());
  const auto tell = std::exchange(done, nullptr);
  const auto tell_end = std::exchange(handlers.on_end, nullptr);
  handlers = {};
  if (tell) tell(std::move(got));
  if (tell_end) tell_end({});
}

void exchange::fail(fault why, std::string problem) {
  if (over_) return;
  const auto self = shared_from_this();
  close(false);
  failure error;
  error.what = why;
  error.problem = std::move(problem);
  const auto tell = std::exchange(done, nullptr);
  const auto tell_end = std::exchange(handlers.on_end, nullptr);
  handlers = {};
  if (tell_end) return tell_end(std::move(error));
  response got;
  got.error = std::move(error);
  if (tell) tell(std::move(got));
}

void exchange::cancel() {
  if (over_) return;
  const auto self = shared_from_this();
  close(false);
  done = nullptr;
  handlers = {};
}

void exchange::close(bool keep) {
  over_ = true;
  deadline_.cancel();
  if (const auto dialling = std::exchange(dial_, nullptr)) dialling->cancel();
  const auto owner = owner_.lock();
  if (const auto connection = std::exchange(connection_, nullptr)) {
    if (keep && owner) {
      owner->keep(connection);
    } else {
      connection->close();
    }
  }
  if (owner) owner->ended(*this);
}

// --- the client's books
// ------------------------------------------------------------------------------------------------

std::shared_ptr<transport> client::impl::take_idle() {
  while (!idle.empty()) {
    const auto connection = std::move(idle.back().connection);
    idle.pop_back();
    if (connection->is_idle()) return connection;
    connection->close();
  }
  return nullptr;
}

void client::impl::keep(std::shared_ptr<transport> connection) {
  idle.push_back({std::move(connection), clock::now()});
  if (idle.size() > settings.most_idle) {
    idle.front().connection->close();
    idle.erase(idle.begin());
  }
  sweep_later();
}

void client::impl::sweep_later() {
  if (idle.empty() || std::exchange(sweeping, true)) return;
  sweep.expires_at(idle.front().since + settings.idle_for);
  sweep.async_wait([weak = weak_from_this()](const error_code& error) {
    const auto self = weak.lock();
    if (!self || error) return;
    self->sweeping = false;
    const auto old = clock::now() - self->settings.idle_for;
    while (!self->idle.empty() && self->idle.front().since <= old) {
      self->idle.front().connection->close();
      self->idle.erase(self->idle.begin());
    }
    self->sweep_later();
  });
}

void client::impl::begin(const std::shared_ptr<exchange>& what) {
  if (open >= settings.most_open) return waiting.push_back(what);
  ++open;
  what->counted = true;
  what->go();
}

void client::impl::ended(exchange& what) {
  if (std::exchange(what.counted, false)) --open;
  all.erase(what.shared_from_this());
  while (open < settings.most_open && !waiting.empty()) {
    const auto next = waiting.front().lock();
    waiting.pop_front();
    if (next && !next->over()) begin(next);
  }
}

void client::impl::close() {
  waiting.clear();
  const auto these = std::exchange(all, {});
  for (const auto& one : these) one->cancel();
  for (const auto& one : idle) one.connection->close();
  idle.clear();
  sweep.cancel();
}

client::client(asio::io_context& io, client_settings settings)
    : impl_(std::make_shared<impl>(io, std::move(settings))) {}

client::~client() {
  impl_->close();
}

call client::send(request what, std::function<void(response)> done) {
  const auto made = std::make_shared<exchange>(impl_, std::move(what));
  made->done = std::move(done);
  impl_->all.insert(made);
  made->begin();
  return call(made);
}

call client::stream(request what, stream_handlers handlers) {
  const auto made = std::make_shared<exchange>(impl_, std::move(what));
  made->handlers = std::move(handlers);
  made->streams = true;
  impl_->all.insert(made);
  made->begin();
  return call(made);
}

void client::set_header(const std::string& name, const std::string& value) {
  auto& all = impl_->settings.headers;
  std::erase_if(all, [&](const auto& one) { return one.first == name; });
  if (!value.empty()) all.emplace_back(name, value);
}

const origin& client::to() const noexcept {
  return impl_->settings.to;
}

// --- the handle
// ----------------------------------------------------------------------------------------------------------

call& call::operator=(call&& other) noexcept {
  if (this != &other) {
    cancel();
    what_ = std::move(other.what_);
  }
  return *this;
}
void call::cancel() {
  if (const auto what = std::exchange(what_, nullptr)) what->cancel();
}
void call::pause() {
  if (what_) what_->pause();
}
void call::resume() {
  if (what_) what_->resume();
}
bool call::active() const noexcept {
  return what_ && !what_->over();
}

}  // namespace rouse::backend_http
