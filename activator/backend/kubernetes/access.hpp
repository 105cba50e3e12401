#pragma once
// How to reach an API server: from the service account of the pod that rouse runs in, or from a kubeconfig. Plain
// functions over files; what is wrong is a sentence.

#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace rouse::kubernetes {

struct access {
  std::string server;   ///< https://host:port, maybe with a path before /api
  std::string ca;       ///< PEM
  std::string ca_file;  ///< the same as a file; both empty: the system's certificates
  bool insecure = false;
  std::string server_name;  ///< who must answer; empty: the host of `server`
  std::string certificate;  ///< the client's, PEM
  std::string key;
  std::string token;
  std::string token_file;  ///< read anew while it is used, for such tokens are replaced every hour
  std::string name_space;  ///< what the service account or the context says; empty: nothing
};

struct access_settings {
  std::string context;  ///< of the kubeconfig; empty: its current-context
  std::string
      kubeconfig;  ///< a file; empty: in-cluster where there is a service account, else $KUBECONFIG, ~/.kube/config
  std::string service_account = "/var/run/secrets/kubernetes.io/serviceaccount";
};

using environment_reader = std::function<std::string(const char* name)>;

/// Nothing when it cannot be had; `problem` says why and what to do.
[[nodiscard]] std::optional<access> find_access(const access_settings& settings, const environment_reader& environment,
                                                std::string& problem);
/// `directory` is where the file is, which its own file names are relative to.
[[nodiscard]] std::optional<access> parse_kubeconfig(const std::string& text, const std::string& context,
                                                     const std::string& directory, std::string& problem);
/// The token to send now; empty where there is none. Nothing, with `problem`, when its file cannot be read.
[[nodiscard]] std::optional<std::string> read_token(const access& how, std::string& problem);

/// Nothing when it is not base64. Line ends in between are taken.
[[nodiscard]] std::optional<std::string> decode_base64(std::string_view text);

}  // namespace rouse::kubernetes
