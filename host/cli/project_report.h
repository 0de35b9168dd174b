// What `lexiscope project` tells about a run that it finished.
#pragma once

#include "lexiscope/project.h"

namespace lexiscope::cli {

void print_project_text(const ProjectSource& source, const ProjectOptions& options, const ProjectSummary& summary,
                        const Engine& engine);
void print_project_json(const ProjectSource& source, const ProjectSummary& summary, const Engine& engine);

}  // namespace lexiscope::cli
