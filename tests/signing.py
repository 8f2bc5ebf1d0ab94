"""What AWS does on its side: the signature of a received request, made anew by its own signer."""

from aiohttp import web
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials


async def signed(request: web.Request, keys: Credentials, region: str, service: str) -> bool:
    """Whether a request was signed by these keys, over what has arrived."""
    header = request.headers.get("Authorization", "")
    names = header.partition("SignedHeaders=")[2].partition(",")[0].split(";")
    anew = AWSRequest(
        method=request.method,
        url=str(request.url),
        data=await request.read(),
        headers={name: request.headers[name] for name in names if name in request.headers and name != "host"},
    )
    signer = SigV4Auth(keys, service, region)
    anew.context["timestamp"] = request.headers.get("X-Amz-Date", "")
    text = signer.string_to_sign(anew, signer.canonical_request(anew))
    scope = f"Credential={keys.access_key}/{signer.scope(anew).partition('/')[2]}"
    here = keys.token == request.headers.get("X-Amz-Security-Token")
    complete = {"host", "x-amz-date", "content-type"} <= set(names)
    return complete and here and scope in header and header.endswith(f"Signature={signer.signature(text, anew)}")
