"""The style of the page: one column on a phone, two where there is room, both themes."""

from __future__ import annotations

__all__ = ["STYLE"]

_LIGHT = """
--bg:#fff;--card:#f6f8fa;--text:#1b1f24;--quiet:#57606a;--rule:#d0d7de;--area:#c3ccd6;
--live:#0b5cad;--page:#b42318;--watch:#8a5300;--ok:#1a6b34;--on:#fff"""
_DARK = """
--bg:#14171a;--card:#1d2126;--text:#e6e9ec;--quiet:#a2acb6;--rule:#3a424b;--area:#4c5661;
--live:#74b6ff;--page:#ff9d93;--watch:#f0b558;--ok:#79cf92;--on:#14171a"""

STYLE = (
    """
:root{color-scheme:light dark;"""
    + _LIGHT
    + """}
@media (prefers-color-scheme:dark){:root{"""
    + _DARK
    + """}}
*{box-sizing:border-box}
body{margin:0;background:var(--bg);color:var(--text);
font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
main{max-width:60rem;margin:0 auto;padding:1rem}
h1{font-size:1rem;font-weight:600;margin:0;color:var(--quiet)}
h2{font-size:1.25rem;margin:2rem 0 .75rem}
h3{font-size:1rem;margin:0 0 .25rem;overflow-wrap:anywhere}
p{margin:.25rem 0}
code{font-family:ui-monospace,Menlo,Consolas,monospace;font-size:.95em;overflow-wrap:anywhere}
header{border-left:.4rem solid var(--ok);padding:.25rem 0 .25rem 1rem}
header.page{border-color:var(--page)}header.watch{border-color:var(--watch)}
.verdict{font-size:1.5rem;line-height:1.25;font-weight:700}
.page .verdict{color:var(--page)}.watch .verdict{color:var(--watch)}.ok .verdict{color:var(--ok)}
.quiet,figcaption,.key{color:var(--quiet);font-size:.875rem}
.cards,.grid{list-style:none;margin:0;padding:0}
.card{display:flex;flex-wrap:wrap;gap:.25rem 1.5rem;background:var(--card);border-radius:.5rem;
padding:.75rem 1rem;margin:0 0 .75rem;border-left:.25rem solid var(--page)}
.card.watch{border-color:var(--watch)}
.card h3{flex:1 0 100%}
.card>div{flex:1 1 18rem;min-width:0}
.card ul{margin:0;padding:0;list-style:none}
.card li p{overflow-wrap:anywhere}
.card li+li{margin-top:.75rem}
figure{margin:0;flex:0 1 24rem;min-width:0;width:100%}
.badge{font-size:.8rem;font-weight:600;padding:.05rem .5rem;border-radius:1rem;
background:var(--page);color:var(--on);white-space:nowrap}
.badge.watch{background:var(--watch)}.badge.ok{background:var(--ok)}
.badge.unchecked{background:var(--quiet)}
svg{display:block;width:100%;height:auto}
svg.b{max-width:9rem;height:.6rem}
text{font-size:12px;fill:var(--text)}
.r{fill:var(--area)}.l{stroke:var(--live)}.v{fill:var(--live)}
.a,.t{stroke:var(--quiet)}.i{stroke:var(--text);stroke-width:1.5}
.b .v{opacity:.55}
table{border-collapse:collapse;width:100%;font-size:.9rem}
caption{text-align:left;color:var(--quiet);font-size:.875rem;padding-bottom:.5rem}
th,td{text-align:left;vertical-align:top;padding:.35rem .5rem .35rem 0;
border-bottom:1px solid var(--rule);overflow-wrap:anywhere}
thead th{white-space:nowrap;overflow-wrap:normal}
tbody th{font-weight:400}
td.n{white-space:nowrap;overflow-wrap:normal;font-variant-numeric:tabular-nums}
.i95{color:var(--quiet);white-space:nowrap}
details{margin:.75rem 0}
summary{cursor:pointer;padding:.5rem 0;color:var(--live);font-weight:600}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.25rem 1rem;margin:0}
dt{color:var(--quiet)}dd{margin:0}
.grid{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,18rem),1fr));gap:1rem}
.grid h3{font-weight:400}
@media (max-width:30rem){dl{grid-template-columns:1fr}dd{margin-bottom:.5rem}
.badge{padding:.05rem .35rem}.i95{display:block}
th,td{font-size:.85rem}}
"""
)
