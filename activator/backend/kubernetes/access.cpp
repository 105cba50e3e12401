#include "activator/backend/kubernetes/access.hpp"

#include <yaml-cpp/yaml.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <sstream>

namespace rouse::kubernetes {

namespace {

std::optional<std::string> read_file(const std::string& path, std::string& problem) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  if (file) text << file.rdbuf();
  if (!file || file.bad()) {
    problem = path + ": " + std::strerror(errno != 0 ? errno : EIO);
    return std::nullopt;
  }
  return text.str();
}

std::string trimmed(std::string text) {
  const auto from = text.find_first_not_of(" \t\r\n");
  if (from == std::string::npos) return {};
  return text.substr(from, text.find_last_not_of(" \t\r\n") - from + 1);
}

std::string text_of(const YAML::Node& map, const char* key) {
  const YAML::Node value = map[key];
  return value && value.IsScalar() ? value.Scalar() : std::string();
}

/// The `inner` map of the entry called `name` in the list `list` of a kubeconfig.
YAML::Node entry(const YAML::Node& root, const char* list, const std::string& name, const char* inner) {
  const YAML::Node all = root[list];
  if (all && all.IsSequence())
    for (const auto& one : all)
      if (one.IsMap() && text_of(one, "name") == name && one[inner] && one[inner].IsMap()) return one[inner];
  return YAML::Node(YAML::NodeType::Undefined);
}

std::string beside(const std::string& directory, const std::string& path) {
  return path.empty() || path.front() == '/' || directory.empty() ? path : directory + "/" + path;
}

/// KEY-data in base64, or the file that KEY names.
bool take_pem(const YAML::Node& map, const std::string& key, const std::string& directory, std::string& to,
              std::string& problem) {
  if (const auto data = text_of(map, (key + "-data").c_str()); !data.empty()) {
    auto pem = decode_base64(data);
    if (!pem) {
      problem = key + "-data is not base64";
      return false;
    }
    to = std::move(*pem);
  } else if (const auto path = text_of(map, key.c_str()); !path.empty()) {
    auto pem = read_file(beside(directory, path), problem);
    if (!pem) return false;
    to = std::move(*pem);
  }
  return true;
}

bool take_user(const YAML::Node& user, const std::string& name, const std::string& directory, access& to,
               std::string& problem) {
  for (const char* plugin : {"exec", "auth-provider"}) {
    if (!user[plugin]) continue;
    problem = "user \"" + name + "\" gets its credentials from a plugin (" + plugin +
              "), which is not supported: give it a token or a client certificate, for example of a service account "
              "(kubectl create token)";
    return false;
  }
  if (user["username"]) {
    problem = "user \"" + name +
              "\" has a user name and password, which API servers take no more: give it a token or a "
              "client certificate";
    return false;
  }
  to.token = text_of(user, "token");
  if (to.token.empty()) to.token_file = beside(directory, text_of(user, "tokenFile"));
  if (!take_pem(user, "client-certificate", directory, to.certificate, problem)) return false;
  if (!take_pem(user, "client-key", directory, to.key, problem)) return false;
  if (to.certificate.empty() != to.key.empty()) {
    problem = "user \"" + name + "\" has only one of client-certificate and client-key";
    return false;
  }
  return true;
}

std::optional<access> in_cluster(const access_settings& settings, const environment_reader& environment,
                                 std::string& problem) {
  access out;
  std::string host = environment("KUBERNETES_SERVICE_HOST");
  const std::string port = environment("KUBERNETES_SERVICE_PORT");
  if (host.find(':') != std::string::npos) host = "[" + host + "]";
  out.server = "https://" + host + ":" + (port.empty() ? "443" : port);
  out.token_file = settings.service_account + "/token";
  auto ca = read_file(settings.service_account + "/ca.crt", problem);
  if (!ca) return std::nullopt;
  out.ca = std::move(*ca);
  std::string ignored;
  if (const auto name = read_file(settings.service_account + "/namespace", ignored)) out.name_space = trimmed(*name);
  if (!read_token(out, problem)) return std::nullopt;
  return out;
}

std::string directory_of(const std::string& path) {
  const auto slash = path.rfind('/');
  return slash == std::string::npos ? std::string() : path.substr(0, slash);
}

}  // namespace

std::optional<std::string> decode_base64(std::string_view text) {
  std::string out;
  unsigned bits = 0, have = 0, padding = 0;
  for (const char c : text) {
    if (c == '\n' || c == '\r' || c == ' ') continue;
    unsigned value = 0;
    if (c >= 'A' && c <= 'Z')
      value = static_cast<unsigned>(c - 'A');
    else if (c >= 'a' && c <= 'z')
      value = static_cast<unsigned>(c - 'a') + 26;
    else if (c >= '0' && c <= '9')
      value = static_cast<unsigned>(c - '0') + 52;
    else if (c == '+')
      value = 62;
    else if (c == '/')
      value = 63;
    else if (c == '=') {
      ++padding;
      continue;
    } else
      return std::nullopt;
    if (padding > 0) return std::nullopt;
    bits = bits << 6 | value;
    have += 6;
    if (have >= 8) {
      have -= 8;
      out.push_back(static_cast<char>(bits >> have & 0xff));
    }
  }
  if (padding > 2 || have == 6) return std::nullopt;
  return out;
}

std::optional<std::string> read_token(const access& how, std::string& problem) {
  if (how.token_file.empty()) return how.token;
  const auto text = read_file(how.token_file, problem);
  if (!text) return std::nullopt;
  auto token = trimmed(*text);
  if (token.empty() || token.find_first_of("\r\n") != std::string::npos) {
    problem = how.token_file + " holds no token";
    return std::nullopt;
  }
  return token;
}

std::optional<access> parse_kubeconfig(const std::string& text, const std::string& wanted, const std::string& directory,
                                       std::string& problem) {
  try {
    const YAML::Node root = YAML::Load(text);
    if (!root.IsMap()) {
      problem = "is not a kubeconfig";
      return std::nullopt;
    }
    const std::string name = wanted.empty() ? text_of(root, "current-context") : wanted;
    if (name.empty()) {
      problem = "has no current-context: name one with `context`";
      return std::nullopt;
    }
    const YAML::Node context = entry(root, "contexts", name, "context");
    if (!context.IsDefined()) {
      problem = "has no context \"" + name + "\"";
      return std::nullopt;
    }
    const YAML::Node cluster = entry(root, "clusters", text_of(context, "cluster"), "cluster");
    if (!cluster.IsDefined()) {
      problem = "has no cluster \"" + text_of(context, "cluster") + "\", which context \"" + name + "\" names";
      return std::nullopt;
    }
    access out;
    out.name_space = text_of(context, "namespace");
    out.server = text_of(cluster, "server");
    out.insecure = text_of(cluster, "insecure-skip-tls-verify") == "true";
    out.server_name = text_of(cluster, "tls-server-name");
    if (!text_of(cluster, "proxy-url").empty()) {
      problem = "cluster \"" + text_of(context, "cluster") + "\" is behind a proxy-url, which is not supported";
      return std::nullopt;
    }
    if (!take_pem(cluster, "certificate-authority", directory, out.ca, problem)) return std::nullopt;
    if (const auto user_name = text_of(context, "user"); !user_name.empty()) {
      const YAML::Node user = entry(root, "users", user_name, "user");
      if (!user.IsDefined()) {
        problem = "has no user \"" + user_name + "\", which context \"" + name + "\" names";
        return std::nullopt;
      }
      if (!take_user(user, user_name, directory, out, problem)) return std::nullopt;
    }
    return out;
  } catch (const YAML::Exception& error) {
    problem = std::string("cannot be read as YAML: ") + error.what();
    return std::nullopt;
  }
}

std::optional<access> find_access(const access_settings& settings, const environment_reader& environment,
                                  std::string& problem) {
  std::string path = settings.kubeconfig;
  if (path.empty()) {
    if (settings.context.empty() && !environment("KUBERNETES_SERVICE_HOST").empty() &&
        std::ifstream(settings.service_account + "/token"))
      return in_cluster(settings, environment, problem);
    path = environment("KUBECONFIG");
    if (path.find(':') != std::string::npos) {
      problem = "KUBECONFIG names several files, which is not supported: name one with `kubeconfig`";
      return std::nullopt;
    }
    if (path.empty() && !environment("HOME").empty()) path = environment("HOME") + "/.kube/config";
    if (path.empty()) {
      problem = "there is neither a service account nor a kubeconfig: name one with `kubeconfig`";
      return std::nullopt;
    }
  }
  errno = 0;
  const auto text = read_file(path, problem);
  if (!text) {
    problem = "the kubeconfig cannot be read: " + problem;
    return std::nullopt;
  }
  auto out = parse_kubeconfig(*text, settings.context, directory_of(path), problem);
  if (!out) {
    problem = "kubeconfig " + path + ": " + problem;
    return out;
  }
  if (!read_token(*out, problem)) return std::nullopt;
  return out;
}

}  // namespace rouse::kubernetes
