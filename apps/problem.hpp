// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <memory>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include <saltus/ctmc/io/sequences.hpp>
#include <saltus/integrators/sampler.hpp>
#include <saltus/models/model_file.hpp>

#include "commands.hpp"
#include "decoration.hpp"
#include "model.hpp"

namespace saltus::app {

using Json = nlohmann::ordered_json;

/// What the options of 'sample' and 'compare' describe.
struct Problem {
  Model model;
  NoiseSchedule noise;
  Generator generator;  ///< absorbing unless --generator says otherwise
  Decoration decoration{};   ///< of the model, which stays what runs are judged by
  bool at_revealed = false;  ///< methods read conditionals at revealed sites
  std::string generator_text{};  ///< the generator as a call names it, with its number of states
  double seconds = 0;            ///< spent reading and fitting

  int length() const { return model.length; }
  /// The model's law. UserError for a network, whose law is not known, naming what asked for it.
  SequenceLaw const& law(char const* what) const;
  bool masked() const { return generator.mask().has_value(); }
  /// The reverse process with the model's scores, decorated. Needs Kokkos. `by_ranks`: evaluations are shared among the
  /// ranks (evaluated_by_ranks()), for a run that all of them go through whole.
  Process process(bool by_ranks = false) const;
  /// The law of the sequences that an exact sampler ends with: the data's, or without a mask p at default_end_time; null
  /// for a network.
  std::shared_ptr<SequenceLaw const> final_law() const;
  /// Draws the start of an exact comparison, p at T (empty where the prior is exact, all masks, and for a network).
  Start exact_start(std::uint64_t seed) const;
};

/// Reads and fits, for the methods that will run; no Kokkos yet. UserError as the options deserve.
Problem read_problem(Options const& options, std::vector<std::string> const& methods);

/// Counts what runs of a process count, in network evaluations: one of a decorated model can cost several.
void count_networks(SampleReport& report, Process const& process);

/// The output format: --format, else by the ending of `path`, else fasta, or txt for numbers.
SequenceFormat output_format(Options const& options, Alphabet const& alphabet, std::string const& path);
char const* ending(SequenceFormat format);
/// UserError if two of these options name one file.
void require_distinct_outputs(Options const& options, std::initializer_list<char const*> names);
/// UserError if the file that one option names lies in the folder that the other does, where other files come.
void require_outside(Options const& options, std::string const& file, std::string const& folder);

/// Threads to take: --threads; if that is 0, OMP_NUM_THREADS; if that is not set, the cores that this process may use, shared
/// by the ranks on this machine.
int thread_count(Options const& options);

/// Starts Kokkos for the life of the object, with thread_count().
class KokkosSession {
 public:
  KokkosSession(Options const& options, KokkosArguments arguments);
  ~KokkosSession();
  KokkosSession(KokkosSession const&) = delete;
  KokkosSession& operator=(KokkosSession const&) = delete;
};

/// Version, machine and every option, for summaries; with a problem, what it was made from too.
Json run_header(Options const& options);
Json run_header(Options const& options, Problem const& problem);

/// Seconds on a clock that only runs forwards.
double now();

/// JSON as a file: a name that is not UTF-8 must not cost the results.
std::string json_text(Json const& json, int indent = 2);

/// Writes `text` to `path`, beside and then renamed.
void write_text(std::string const& path, std::string const& text);

}  // namespace saltus::app
