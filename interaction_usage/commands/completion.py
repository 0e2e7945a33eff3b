"""`usage completion`: the script with which a shell completes commands and options."""

import click

_SHELLS = ("bash", "zsh", "fish")


@click.command("completion")
@click.argument("shell", type=click.Choice(_SHELLS))
def completion(shell: str) -> None:
    """Print the script with which SHELL completes commands and options: bash, zsh or fish.

    bash needs version 4.4 or newer. In zsh, `compinit` must have run before the script is read.

    \b
    Examples:
      usage completion bash > ~/.local/share/bash-completion/completions/usage
      usage completion zsh > ~/.usage-completion.zsh     # then in ~/.zshrc: source it
      usage completion fish > ~/.config/fish/completions/usage.fish
    """
    from click.shell_completion import get_completion_class

    from interaction_usage.commands.main import main

    kind = get_completion_class(shell)
    assert kind is not None  # click knows these three
    made = kind(main, {}, "usage", "_USAGE_COMPLETE")
    # Not `source()`: for bash that runs the bash of this machine, to see how old it is.
    click.echo(made.source_template % made.source_vars())
