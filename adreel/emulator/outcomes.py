"""How renders end badly: the provider's code and words, and the shape in which a poll learns of them."""

from dataclasses import dataclass

from adreel.emulator.replies import Reply, error

SUCCESS = "success"
NEVER_ENDS = "neverEnds"


@dataclass(frozen=True)
class Failure:
    """A failed render, as it is told."""

    code: str
    message: str
    in_data: bool = False
    http: int = 200

    def told(self, uuid: str) -> Reply:
        """Answer a poll for the failed task."""
        if not self.in_data:
            return error(self.code, self.message, uuid=uuid, http=self.http, taskType="videoInference", status="error")
        inner = {"code": self.code, "message": self.message}
        return Reply(data=({"taskType": "videoInference", "taskUUID": uuid, "status": "error", "error": inner},))


FAILURES: dict[str, Failure] = {
    "failedTopLevel": Failure("inferenceError", "The provider could not render this video."),
    "failedInData": Failure("processingFailed", "The provider stopped while processing.", in_data=True),
    "failedHttp400": Failure("taskFailed", "The task failed at the provider.", http=400),
    "providerTimeout": Failure("providerTimeout", "The provider did not finish in time."),
    "contentPolicy": Failure("invalidProviderContent", "The provider's safety system refused this prompt."),
}
