// rouse: the program. What it does is in cli.cpp (commands) and daemon.cpp (serve).

#include <unistd.h>

#include <exception>
#include <iostream>
#include <string>
#include <vector>

#include "config/load.hpp"
#include "gateway/cli.hpp"
#include "gateway/daemon.hpp"
#include "gateway/logging.hpp"

int main(int argc, char** argv) {
  using namespace rouse;
  try {
    gateway::cli_io io{std::cout, std::cerr, config::process_environment(), gateway::wants_colour(STDOUT_FILENO),
                       gateway::wants_colour(STDERR_FILENO)};
    return gateway::run_command_line(std::vector<std::string>(argv + 1, argv + argc), io, gateway::serve);
  } catch (const std::exception& error) {
    std::cerr << "rouse: " << error.what() << '\n';
    return gateway::exit_failed;
  }
}
