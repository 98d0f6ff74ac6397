"""The mark of generated media in a file: XMP with IPTC's DigitalSourceType, as EU AI Act Art. 50(2) asks for."""

from html import escape
from pathlib import Path
from uuid import UUID

XMP_BOX = UUID("be7acfcb-97a9-42e8-9c71-999491e3afac")
SOURCE_TYPES = "http://cv.iptc.org/newscodes/digitalsourcetype/"
XMP = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about="" xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
    xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:xmp="http://ns.adobe.com/xap/1.0/"
    Iptc4xmpExt:DigitalSourceType="{source_type}" xmp:CreatorTool="adreel">
   <dc:title><rdf:Alt><rdf:li xml:lang="x-default">{title}</rdf:li></rdf:Alt></dc:title>
  </rdf:Description>
 </rdf:RDF>
</x:xmpmeta>
<?xpacket end="r"?>"""


def source_type(*, composite: bool) -> str:
    """Return the address of IPTC's term: generated media alone, or with captions, music and the like."""
    return SOURCE_TYPES + ("compositeWithTrainedAlgorithmicMedia" if composite else "trainedAlgorithmicMedia")


def add_mark(path: Path, *, composite: bool, title: str = "") -> None:
    """Append the mark to an MP4 file. The boxes before it, the index first, keep their places."""
    xmp = XMP.format(source_type=source_type(composite=composite), title=escape(title, quote=False))
    content = XMP_BOX.bytes + xmp.encode()
    with path.open("ab") as file:
        file.write((len(content) + 8).to_bytes(4) + b"uuid" + content)
