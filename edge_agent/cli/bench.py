"""`edge-agent bench`."""
import typer
app = typer.Typer()
@app.command()
def v2v() -> None:
    """x"""
