// SPDX-License-Identifier: BSD-3-Clause
// What a backbone gives, for test_exports.py:
//   scores FOLDER TOKENS.npy TIME.npy|- SCORES.npy [CONDITION...]   scores [batch, length, states] of one evaluation
//   bf16   (the same)                                               with the network in bfloat16
//   wary   (the same)                                               without trust in machine code
//   sample FOLDER STEPS SAMPLES TOKENS.npy                          tokens [samples, length] drawn by tweedie
// Prints the number of rows that the network was evaluated at. Exit codes and messages as those of saltus.
#include <cstdio>
#include <cstdlib>
#include <span>
#include <string>
#include <vector>

#include <saltus/ctmc/error.hpp>
#include <saltus/ctmc/io/generators.hpp>
#include <saltus/ctmc/io/npy.hpp>
#include <saltus/integrators/registry.hpp>
#include <saltus/integrators/sampler.hpp>
#include <saltus/models/backbone.hpp>

using namespace saltus;

namespace {

void scores(std::vector<std::string> const& args, std::string const& how) {
  BackboneOptions options;
  options.bf16 = how == "bf16";
  options.trusted = how != "wary";
  for (std::size_t i = 4; i < args.size(); ++i) options.condition.push_back(std::strtof(args[i].c_str(), nullptr));
  Backbone backbone(args.at(0), options);
  auto const given = read_npy(args.at(1));
  std::size_t const batch = given.shape.at(0), length = given.shape.at(1);
  Tokens const tokens("tokens", batch, length);
  auto const host = Kokkos::create_mirror_view(tokens);
  for (std::size_t i = 0; i < batch * length; ++i) host(i / length, i % length) = static_cast<token_t>(given.values[i]);
  Kokkos::deep_copy(tokens, host);
  Times time;
  if (args.at(2) != "-") {
    auto const times = read_npy(args.at(2)).values;
    time = Times("time", batch);
    auto const host_time = Kokkos::create_mirror_view(time);
    for (std::size_t b = 0; b < batch; ++b) host_time(b) = times.at(b);
    Kokkos::deep_copy(time, host_time);
  }
  backbone.reserve({static_cast<int>(batch), static_cast<int>(length)}, 1);
  ExecSpace const exec;
  Evaluation const e = backbone.evaluate(exec, {tokens, time, {}}, 0);
  exec.fence();
  auto const states = static_cast<std::size_t>(e.states);
  std::vector<double> out;
  out.reserve(batch * length * states);
  for (std::size_t b = 0; b < batch; ++b) {
    for (std::size_t l = 0; l < length; ++l) {
      float const* const row = static_cast<float const*>(e.data) + static_cast<std::int64_t>(b) * e.row_stride +
                               static_cast<std::int64_t>(l) * e.site_stride;
      out.insert(out.end(), row, row + states);
    }
  }
  write_npy(args.at(3), {batch, length, states}, out);
  std::printf("%lld\n", static_cast<long long>(backbone.rows_evaluated()));
}

void sample_from(std::vector<std::string> const& args) {
  auto const backbone = std::make_shared<Backbone>(args.at(0), BackboneOptions{.trusted = true});
  auto const& manifest = backbone->manifest();
  Generator const generator = manifest.masked                    ? Generator::absorbing(manifest.states)
                              : manifest.generator == "uniform" ? Generator::uniform(manifest.states)
                                                                 : read_generator(manifest.generator).generator;
  Process process = Process::reverse(generator, NoiseSchedule::parse(manifest.noise), backbone);
  auto const integrator = make_integrator("tweedie", process);
  SamplePlan plan = make_plan(process, *integrator, std::atoi(args.at(1).c_str()), manifest.length);
  plan.samples = static_cast<std::size_t>(std::atoi(args.at(2).c_str()));
  plan.batch = 32;
  HostTokens const x = sample(ExecSpace(), process, *integrator, plan);
  std::vector<double> const out(x.data(), x.data() + x.size());
  write_npy(args.at(3), {x.extent(0), x.extent(1)}, out);
  std::printf("%lld\n", static_cast<long long>(backbone->rows_evaluated()));
}

int failed(int code, std::exception const& e) {
  std::fprintf(stderr, "error: %s\n", e.what());
  return code;
}

}  // namespace

int main(int argc, char** argv) {
  Kokkos::ScopeGuard const guard(Kokkos::InitializationSettings().set_num_threads(2).set_disable_warnings(true));
  std::vector<std::string> const args(argv + (argc > 1 ? 2 : 1), argv + argc);
  try {
    std::string const command = argc > 1 ? argv[1] : "";
    require(command == "scores" || command == "bf16" || command == "wary" || command == "sample",
            "expected scores, bf16, wary or sample, got '" + command + "'");
    command == "sample" ? sample_from(args) : scores(args, command);
  } catch (UserError const& e) {
    return failed(2, e);
  } catch (NumericalError const& e) {
    return failed(4, e);
  } catch (std::exception const& e) {
    return failed(5, e);
  }
  return 0;
}
