#include "activator/backend/kubernetes/resource_watch.hpp"

#include <boost/asio/error.hpp>
#include <nlohmann/json.hpp>
#include <utility>

namespace rouse::kubernetes {

namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr int gone = 410;
constexpr std::size_t most_error = 64 * 1024;
/// A page that takes longer is given up when nothing comes for so long.
constexpr std::chrono::seconds list_silence{15};

}  // namespace

resource_watch::resource_watch(boost::asio::io_context& io, api& with, watch_settings settings, watch_handlers handlers)
    : with_(with),
      settings_(std::move(settings)),
      handlers_(std::move(handlers)),
      timer_(io),
      objects_([this](std::string_view text) {
        const auto object = parse_object(text);
        if (object.is_object()) handlers_.on_object(object);
      }),
      lines_([this](std::string_view text) { line(text); }) {}

std::string resource_watch::query(const std::string& rest) const {
  std::string out = with_.path(settings_.group, settings_.resource) + "?" + rest;
  if (!settings_.selector.empty()) out += "&labelSelector=" + percent_encoded(settings_.selector);
  return out;
}

backend_http::response resource_watch::as_response() const {
  backend_http::response out;
  out.status = status_;
  out.body = error_body_;
  return out;
}

void resource_watch::list_from_start() {
  next_page_.clear();
  list_next_ = false;
  list_page();
}

void resource_watch::list_page() {
  status_ = 0;
  bad_ = false;
  error_body_.clear();
  objects_ = list_splitter([this](std::string_view text) {
    const auto object = parse_object(text);
    if (object.is_object()) handlers_.on_object(object);
  });
  std::string target = "limit=" + std::to_string(settings_.page);
  if (!next_page_.empty()) target += "&continue=" + percent_encoded(next_page_);
  backend_http::stream_handlers on;
  on.on_head = [this](int status, const backend_http::header_list&) {
    status_ = status;
    // Told only when there is an answer: until then what was known holds.
    if (status == 200 && next_page_.empty()) handlers_.on_list();
  };
  on.on_data = [this](std::string_view bytes) {
    if (status_ != 200) {
      if (error_body_.size() < most_error) error_body_.append(bytes.substr(0, most_error));
    } else if (!bad_ && !objects_.feed(bytes)) {
      bad_ = true;
    }
  };
  on.on_end = [this](const backend_http::failure& end) { listed(end); };
  call_ = with_.stream(query(target), list_silence, std::move(on));
}

void resource_watch::listed(const backend_http::failure& end) {
  if (end) return fail("the API server cannot be reached: " + end.problem, &resource_watch::list_from_start);
  if (status_ == gone) return again(delay_.next(random_), &resource_watch::list_from_start);  // a page came too late
  if (status_ != 200) {
    if (status_ == 401) with_.refresh();
    return fail(refusal_in_words(as_response(), "list " + settings_.resource, with_.name_space()),
                &resource_watch::list_from_start);
  }
  const auto about = parse_list_end(objects_.rest());
  if (bad_ || about.version.empty())
    return fail("the API server's list of " + settings_.resource + " cannot be read", &resource_watch::list_from_start);
  version_ = about.version;
  next_page_ = about.next;
  if (!next_page_.empty()) return list_page();
  delay_.reset();
  handlers_.on_listed();
  watch();
}

void resource_watch::watch() {
  status_ = 0;
  bad_ = false;
  error_body_.clear();
  lines_.reset();
  begun_ = steady_clock::now();
  const auto lasts =
      settings_.lasts.count() + std::uniform_int_distribution<std::int64_t>(0, settings_.lasts.count() / 2)(random_);
  backend_http::stream_handlers on;
  on.on_head = [this](int status, const backend_http::header_list&) {
    status_ = status;
    if (status == 200 && std::exchange(troubled_, false)) handlers_.on_problem({});
  };
  on.on_data = [this](std::string_view bytes) {
    if (status_ != 200) {
      if (error_body_.size() < most_error) error_body_.append(bytes.substr(0, most_error));
    } else if (!bad_ && !lines_.feed(bytes)) {
      bad_ = list_next_ = true;
    }
    if (bad_) ended({});
  };
  on.on_end = [this](const backend_http::failure& end) { ended(end); };
  call_ = with_.stream(query("watch=1&allowWatchBookmarks=true&resourceVersion=" + version_ +
                             "&timeoutSeconds=" + std::to_string(lasts)),
                       settings_.silence, std::move(on));
}

void resource_watch::line(std::string_view text) {
  if (bad_) return;
  const auto all = parse_object(text);
  const auto what = read_change(all);
  if (!what) {
    bad_ = list_next_ = true;
    return;
  }
  const auto& object = all["object"];
  if (*what == change::error) return look_at_error(object);
  if (auto version = version_of(object); !version.empty()) version_ = std::move(version);
  if (*what == change::deleted) {
    handlers_.on_deleted(name_of(object));
  } else if (*what != change::bookmark) {
    handlers_.on_object(object);
  }
}

void resource_watch::look_at_error(const nlohmann::json& status) {
  bad_ = true;
  // Gone, or anything else: what was missed is not known, and a list tells.
  list_next_ = true;
  status_ = status.contains("code") && status["code"].is_number_integer() ? status["code"].get<int>() : 500;
}

void resource_watch::ended(const backend_http::failure& end) {
  call_ = {};
  if (status_ == gone) list_next_ = true;
  const auto then = list_next_ ? &resource_watch::list_from_start : &resource_watch::watch;
  if (status_ != 0 && status_ != 200 && status_ != gone && !bad_) {
    if (status_ == 401) with_.refresh();
    return fail(refusal_in_words(as_response(), "watch " + settings_.resource, with_.name_space()), then);
  }
  if (end && (status_ == 0 || end.what == backend_http::fault::unreachable))
    return fail("the API server cannot be reached: " + end.problem, then);
  // One that has lasted ended as they do; others might do so all the time.
  if (steady_clock::now() - begun_ > std::chrono::seconds(5)) delay_.reset();
  again(delay_.next(random_), then);
}

void resource_watch::fail(const std::string& why, void (resource_watch::*then)()) {
  troubled_ = true;
  handlers_.on_problem(why);
  again(delay_.next(random_), then);
}

void resource_watch::again(milliseconds pause, void (resource_watch::*then)()) {
  then_ = then;
  timer_.expires_after(pause);
  timer_.async_wait([this, alive = std::weak_ptr<int>(alive_)](const boost::system::error_code& failed) {
    if (failed || alive.expired()) return;
    if (const auto next = std::exchange(then_, nullptr)) (this->*next)();
  });
}

void resource_watch::hurry() {
  delay_.reset();
  if (then_ != nullptr) again(milliseconds(0), then_);
}

}  // namespace rouse::kubernetes
