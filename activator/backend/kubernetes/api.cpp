#include "activator/backend/kubernetes/api.hpp"

#include <algorithm>

#include "activator/backend/kubernetes/objects.hpp"

namespace rouse::kubernetes {

namespace {

using std::chrono::steady_clock;

/// Tokens of service accounts are replaced long before they end; client-go looks as often.
constexpr std::chrono::seconds token_age{60};

}  // namespace

std::chrono::milliseconds retry_delay::next(std::minstd_rand& random) {
  // For as long as starts wait for it (activator::away_patience), the wait is for no long pause.
  constexpr unsigned quick = 4, patient = 16;
  const auto full = step_ < quick ? std::int64_t{100} << step_
                    : step_ < patient
                        ? std::int64_t{1000}
                        : std::min<std::int64_t>(10'000, std::int64_t{2000} << std::min(step_ - patient, 4u));
  ++step_;
  return std::chrono::milliseconds(full / 2 + std::uniform_int_distribution<std::int64_t>(0, full / 2)(random));
}

std::string refusal_in_words(const backend_http::response& answer, const std::string& doing,
                             const std::string& name_space) {
  if (answer.error) return "the API server cannot be reached: " + answer.error.problem;
  if (answer.status >= 200 && answer.status < 300) return {};
  if (answer.status == 401)
    return "the API server does not take the credentials (401): they have ended or are of another cluster";
  if (answer.status == 403) {
    std::string out = "rouse may not " + doing + " in namespace " + name_space + ": see deploy/kubernetes/rbac.yaml";
    if (const auto said = parse_status_message(answer.body); !said.empty()) out += " (" + said.substr(0, 512) + ")";
    return out;
  }
  std::string out = "the API server answers " + std::to_string(answer.status) + " to " + doing;
  if (const auto said = parse_status_message(answer.body); !said.empty()) out += ": " + said.substr(0, 512);
  return out;
}

std::string percent_encoded(std::string_view text) {
  static constexpr char digits[] = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
        c == '_') {
      out.push_back(c);
    } else {
      out += {'%', digits[byte >> 4], digits[byte & 15]};
    }
  }
  return out;
}

std::optional<backend_http::client_settings> client_settings_of(const access& how, std::string& prefix,
                                                                std::string& problem) {
  const auto where = backend_http::parse_url(how.server, problem);
  if (!where || where->to.scheme == backend_http::origin::kind::unix_socket) {
    problem = "the server \"" + how.server + "\" " + (problem.empty() ? "is no https:// URL" : problem);
    return std::nullopt;
  }
  prefix = where->target;
  while (!prefix.empty() && prefix.back() == '/') prefix.pop_back();
  backend_http::client_settings out;
  out.to = where->to;
  out.tls.verify = !how.insecure;
  out.tls.ca = how.ca;
  out.tls.ca_file = how.ca_file;
  out.tls.server_name = how.server_name;
  out.tls.certificate = how.certificate;
  out.tls.key = how.key;
  const auto token = read_token(how, problem);
  if (!token) return std::nullopt;
  if (!token->empty()) out.headers.emplace_back("Authorization", "Bearer " + *token);
  out.headers.emplace_back("Accept", "application/json");
  out.headers.emplace_back("User-Agent", "rouse");
  return out;
}

std::unique_ptr<api> api::make(boost::asio::io_context& io, const access& how, std::string name_space,
                               std::string& problem) {
  std::string prefix;
  auto settings = client_settings_of(how, prefix, problem);
  if (!settings) return nullptr;
  return std::unique_ptr<api>(new api(io, how, std::move(name_space), std::move(*settings), std::move(prefix)));
}

api::api(boost::asio::io_context& io, access how, std::string name_space, backend_http::client_settings settings,
         std::string prefix)
    : how_(std::move(how)),
      name_space_(std::move(name_space)),
      prefix_(std::move(prefix)),
      client_(io, std::move(settings)),
      refreshed_(steady_clock::now()) {}

std::string api::path(const std::string& group, const std::string& resource) const {
  return (group == "v1" ? "/api/" : "/apis/") + group + "/namespaces/" + percent_encoded(name_space_) + "/" + resource;
}

void api::refresh() {
  if (steady_clock::now() - refreshed_ < std::chrono::seconds(1)) return;
  refreshed_ = steady_clock::now();
  std::string problem;
  if (const auto token = read_token(how_, problem); token && !token->empty())
    client_.set_header("Authorization", "Bearer " + *token);
}

void api::refresh_if_due() {
  if (!how_.token_file.empty() && steady_clock::now() - refreshed_ >= token_age) refresh();
}

backend_http::call api::send(std::string method, const std::string& path_of, std::string body, const char* type,
                             std::chrono::milliseconds timeout, std::function<void(backend_http::response)> done) {
  refresh_if_due();
  backend_http::request what;
  what.repeatable = true;  // all that is sent here sets a state: once more does no harm
  what.method = std::move(method);
  what.target = prefix_ + path_of;
  if (type) what.headers.emplace_back("Content-Type", type);
  what.body = std::move(body);
  what.timeout = timeout;
  return client_.send(std::move(what), [this, done = std::move(done)](backend_http::response answer) {
    if (answer.status == 401) refresh();
    done(std::move(answer));
  });
}

backend_http::call api::stream(const std::string& path_of, std::chrono::milliseconds silence,
                               backend_http::stream_handlers handlers) {
  refresh_if_due();
  backend_http::request what;
  what.target = prefix_ + path_of;
  what.timeout = std::chrono::seconds(10);
  what.silence = silence;
  return client_.stream(std::move(what), std::move(handlers));
}

}  // namespace rouse::kubernetes
