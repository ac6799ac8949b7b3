# The workflow is in workflow/Snakefile. A plain `include:` would forget its default target.
workflow.include("workflow/Snakefile", overwrite_default_target=True)
