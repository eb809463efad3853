package vn.kieumau.app

import com.sun.net.httpserver.HttpServer
import java.net.InetAddress
import java.net.InetSocketAddress
import java.util.Base64

/** A server that enrols An in Trường Vinh and can do nothing else: what a phone needs to record, once. */
class EnrolmentDesk : AutoCloseable {
    private val key = Base64.getUrlEncoder().withoutPadding().encodeToString(ByteArray(32) { 1 })
    private val answer = """
        {"phone":"00000000-0000-7000-8000-000000000001","person":"00000000-0000-7000-8000-000000000002",
         "unit":"00000000-0000-7000-8000-000000000003","role":"officer","person_name":"An",
         "unit_name":"Công an phường Trường Vinh","log_key":"$key","receipt_key":"$key","seal_key":"$key","rescue_key":"$key",
         "epoch":"desk","leaf":0,"server_time_ms":1795410000000}
    """.trimIndent().encodeToByteArray()

    private val server = HttpServer.create(InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0).apply {
        createContext("/v1/phones") { request ->
            request.responseHeaders["Content-Type"] = "application/json"
            request.sendResponseHeaders(201, answer.size.toLong())
            request.responseBody.use { it.write(answer) }
        }
        start()
    }

    val url = "http://127.0.0.1:${server.address.port}"

    override fun close() = server.stop(0)
}
